using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>What the vault knows of a table, in the order of its keys and cut into ranges, before it is compared with the source.</summary>
public sealed class PastInRanges : IDisposable
{
    const uint Int4 = 23, Int8 = 20, Uuid = 2950;
    readonly string _folder = Directory.CreateTempSubdirectory("crmbackup-past-").FullName;

    [Theory]
    [InlineData(1 << 20)]
    // Many runs, merged.
    [InlineData(2000)]
    public void Rows_come_in_the_order_of_their_keys_however_little_memory_there_is(int memory)
    {
        using var sorter = new RowSorter(_folder, memory);
        var random = new Random(7);
        var expected = new List<(UInt128, string)>();
        for (var i = 0; i < 2000; i++)
        {
            var key = (UInt128)random.Next();
            var row = new string((char)('a' + i % 26), random.Next(i % 100 == 0 ? 9000 : 40));
            expected.Add((key, row));
            sorter.Add(key, Encoding.UTF8.GetBytes(row));
        }
        var sorted = sorter.Sorted().Select(row => (row.Key, Encoding.UTF8.GetString(row.Row))).ToList();
        Assert.Equal(expected.Select(row => row.Item1).Order(), sorted.Select(row => row.Key));
        Assert.Equal(expected.Order(), sorted.Order());
        Assert.Equal(memory < 10_000, Directory.GetFiles(_folder).Length > 0);
    }

    [Fact]
    public void Ranges_end_between_keys_and_parts_between_ranges()
    {
        using var past = Past([1, 2, 2, 2, 3, 5, 8, 9], rangeRows: 2, memory: 100);
        var (first, next) = past.Part(0, rowsMax: 5);
        Assert.Equal([("1", 4)], first.Select(range => (past.KeyOf(range), range.Rows)));
        Assert.Equal("3", past.LimitAt(next));
        var (second, end) = past.Part(next, rowsMax: 5);
        Assert.Equal([("3", 2), ("8", 2)], second.Select(range => (past.KeyOf(range), range.Rows)));
        Assert.Equal("10", past.LimitAt(end));
        Assert.Empty(past.Part(end, rowsMax: 5).Ranges);
        Assert.Equal(["(3)", "(5)"], PastRows.Tuples(past.Read(second[0])!).Select(tuple => $"({Frames.Values(tuple.Span)})"));
        var hasher = new RangeHasher();
        foreach (var key in new[] { 5, 3 })
            hasher.Add(Tuple($"{key}"));
        Assert.Equal((2, second[0].Hash), hasher.Finish());
    }

    [Fact]
    public void Nothing_stands_above_the_last_key_that_there_can_be()
    {
        using var past = PastRows.Of([(OrderedKey.Parse(Int8, "9223372036854775807"u8), Tuple("9223372036854775807"))], Int8, 10, new Scratch(_folder, 100), default);
        Assert.Null(past.LimitAt(past.Part(0, 10).Next));
    }

    [Fact]
    public void What_was_let_go_of_gives_no_rows()
    {
        var past = Past([1], rangeRows: 1, memory: 1000);
        var range = past.Part(0, 1).Ranges[0];
        past.Dispose();
        Assert.Null(past.Read(range));
    }

    [Theory]
    [InlineData(Int4, "-2147483648", "-1", "0", "7", "2147483647", "2147483648")]
    [InlineData(Int8, "-9223372036854775808", "-10", "-9", "9", "10", "9223372036854775807")]
    [InlineData(Uuid, "00000000-0000-0000-0000-000000000000", "0fffffff-ffff-ffff-ffff-ffffffffffff", "7fffffff-0000-0000-0000-000000000001",
        "80000000-0000-0000-0000-000000000000", "80000000-0000-0000-0000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff")]
    public void Keys_sort_as_the_servers_index_does(uint type, params string[] keys)
    {
        var parsed = keys.Select(key => OrderedKey.Parse(type, Encoding.ASCII.GetBytes(key))).ToList();
        Assert.Equal(parsed.Order(), parsed);
        Assert.Equal(keys, parsed.Select(key => OrderedKey.Format(type, key)));
    }

    PastRows Past(int[] keys, int rangeRows, long memory) => PastRows.Of(
        keys.Select(key => (OrderedKey.Parse(Int4, Encoding.ASCII.GetBytes($"{key}")), Tuple($"{key}"))), Int4, rangeRows, new Scratch(_folder, memory), default);

    static byte[] Tuple(string text)
    {
        var writer = new TupleWriter();
        writer.Begin();
        writer.Text(Encoding.UTF8.GetBytes(text));
        return writer.End().ToArray();
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
