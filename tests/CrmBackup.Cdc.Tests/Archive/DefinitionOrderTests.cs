using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>A definition that was read before another transaction's change of the same object, and committed after it, would undo that change.</summary>
public sealed class DefinitionOrderTests
{
    static SchemaChange Change(string seen, string unit, params string[] on) => new(seen,
        [new ObjectDefinition(uint.Parse(unit[..unit.IndexOf(':')]), uint.Parse(unit[(unit.IndexOf(':') + 1)..]), on, [])]);

    [Fact]
    public void One_after_the_other_is_fine()
    {
        var order = new DefinitionOrder(0);
        Assert.Null(order.Add(100, [Change("100:100:", "1259:1")]));
        Assert.Null(order.Add(101, [Change("101:101:", "1259:1"), Change("101:102:101", "1259:1")]));
    }

    [Fact]
    public void Two_at_once_are_fine_on_different_objects()
    {
        var order = new DefinitionOrder(0);
        Assert.Null(order.Add(101, [Change("100:102:100,101", "1259:1", "2615:7")]));
        Assert.Null(order.Add(100, [Change("100:102:100,101", "1259:2", "2615:7")]));
    }

    [Fact]
    public void The_later_one_had_to_see_the_earlier_one_on_the_same_object()
    {
        var order = new DefinitionOrder(0);
        Assert.Null(order.Add(101, [Change("100:102:100,101", "1259:1")]));
        Assert.NotNull(order.Add(100, [Change("100:102:100,101", "1259:1")]));
        Assert.Null(order.Add(102, [Change("102:102:", "1259:1")]));
    }

    [Fact]
    public void A_name_that_changed_meanwhile_counts_either_way()
    {
        var renamedFirst = new DefinitionOrder(0);
        Assert.Null(renamedFirst.Add(101, [Change("100:102:100,101", "1255:5")]));
        Assert.True(renamedFirst.Add(100, [Change("100:102:100,101", "1259:1", "1255:5")]) is { Names: true, Named: false });
        var renamedLast = new DefinitionOrder(0);
        Assert.Null(renamedLast.Add(101, [Change("100:102:100,101", "1259:1", "1255:5")]));
        Assert.True(renamedLast.Add(100, [Change("100:102:100,101", "1255:5")]) is { Names: false, Named: true });
    }

    [Fact]
    public void What_was_committed_before_the_archive_reads_may_have_been_anything()
    {
        Assert.NotNull(new DefinitionOrder(50).Add(100, [Change("50:100:50", "1259:1")]));
        Assert.Null(new DefinitionOrder(50).Add(100, [Change("51:100:51", "1259:1")]));
    }
}
