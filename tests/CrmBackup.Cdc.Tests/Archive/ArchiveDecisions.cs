using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public class ArchiveDecisions
{
    static readonly DateTimeOffset Noon = new(2026, 11, 22, 12, 0, 0, TimeSpan.Zero);
    static readonly RelationShape Shape = new(1, 1, new Lsn(1), 16400, "public", "accounts", ReplicaIdentity.Default,
        [new ColumnShape(1, "id", 23, -1, "integer", true)]);

    static Position At(ulong lsn) => new(1, new Lsn(lsn));

    [Theory]
    [InlineData(0, true)]
    [InlineData(1, true)]
    [InlineData(10, true)]
    [InlineData(25, true)]
    [InlineData(25, false)]
    public void A_base_reads_every_page_once_and_the_last_chunk_is_open_ended(long pages, bool hasKey)
    {
        var planner = new BasePlanner(chunkPages: 10);
        var one = planner.Begin(Shape, 1);
        long next = 0;
        var number = 0;
        while (planner.Next(Guid.NewGuid(), Noon, _ => (pages, hasKey), _ => true) is { } order)
        {
            Assert.Equal(next, order.FromPage);
            planner.Answered(order.Order);
            one.Done.Add(new BaseChunk(1, 1, number++, "1:1:", 1, order.FromPage, order.ToPage, Keys: false, 0));
            next = order.ToPage ?? long.MaxValue;
        }
        Assert.Equal(long.MaxValue, next);
        Assert.True(one.PagesDone);
        Assert.Equal(hasKey ? (int)Math.Max(1, (pages + 9) / 10) : 1, number);
    }

    [Fact]
    public void A_chunk_that_failed_is_asked_for_again_and_others_go_on()
    {
        var planner = new BasePlanner(chunkPages: 10);
        var one = planner.Begin(Shape, 1);
        var first = planner.Next(Guid.NewGuid(), Noon, _ => (30, true), _ => true)!;
        var second = planner.Next(Guid.NewGuid(), Noon, _ => (30, true), _ => true)!;
        Assert.Equal((0L, 10L), (first.FromPage, second.FromPage));
        planner.Answered(first.Order);
        one.Done.Add(new BaseChunk(1, 1, 1, "1:1:", 1, 10, 20, Keys: false, 0));
        planner.Answered(second.Order);
        Assert.Equal(0L, planner.Next(Guid.NewGuid(), Noon, _ => (30, true), _ => true)!.FromPage);
        Assert.Equal(20L, planner.Next(Guid.NewGuid(), Noon, _ => (30, true), _ => true)!.FromPage);
    }

    [Fact]
    public void A_dump_that_ddl_parts_is_not_kept()
    {
        var desk = new SchemaDesk(VaultState.Empty, At(0x10), TimeSpan.Zero);
        Assert.True(desk.Wants(Noon));
        desk.Ordered(1);
        var files = new Dictionary<string, byte[]>();
        Assert.True(desk.Answered(1, files, new SchemaDumped(At(0x20), At(0x40))));
        Assert.Null(desk.Settled(At(0x30)));
        desk.Changed(At(0x35), described: true, Noon);
        Assert.Null(desk.Settled(At(0x40)));
        Assert.True(desk.Wants(Noon));
        desk.Ordered(2);
        desk.Answered(2, files, new SchemaDumped(At(0x50), At(0x60)));
        Assert.Equal(At(0x35), desk.Settled(At(0x60))!.Value.Version(Sha256.Zero).From);
    }

    [Fact]
    public void Ddl_ends_the_schema_version_at_its_own_commit()
    {
        var version = new SchemaVersion(Sha256.Zero, At(0x10), null);
        var desk = new SchemaDesk(VaultState.Empty with { Schemas = [version] }, At(0x20), TimeSpan.Zero);
        Assert.False(desk.Needed);
        Assert.Equal(version with { Until = At(0x30) }, desk.Changed(At(0x30), described: true, Noon));
        Assert.Null(desk.Changed(At(0x40), described: true, Noon));
        Assert.True(desk.Needed);
    }

    [Fact]
    public void A_block_of_another_epoch_is_dropped_and_a_missing_one_is_a_doubt()
    {
        var epoch = Guid.NewGuid();
        var order = new EpochOrder(epoch);
        using var zero = Cut(epoch, 0, Sha256.Zero);
        using var one = Cut(epoch, 1, zero.Hash);
        using var two = Cut(epoch, 2, one.Hash);
        using var forged = Cut(epoch, 1, Sha256.Of("other"u8));
        using var stranger = Cut(Guid.NewGuid(), 0, Sha256.Zero);
        Assert.Equal(EpochOrder.Verdict.Drop, order.Judge(stranger));
        Assert.Equal(EpochOrder.Verdict.Take, order.Judge(zero));
        Assert.Equal(EpochOrder.Verdict.Doubt, order.Judge(two));
        Assert.Equal(EpochOrder.Verdict.Doubt, order.Judge(forged));
        Assert.Equal(EpochOrder.Verdict.Take, order.Judge(one));
        Assert.Equal(EpochOrder.Verdict.Drop, order.Judge(one));
        Assert.Equal(EpochOrder.Verdict.Doubt, order.Judge(zero));
    }

    static Block Cut(Guid epoch, ulong number, Sha256 previous)
    {
        var builder = new BlockBuilder();
        builder.Add("I"u8);
        return builder.Cut(new BlockHeader(BlockKind.Stream, 7, 5, 1, epoch, number, 0, previous, Lsn.None, Lsn.None, 0, 0, Last: false));
    }
}
