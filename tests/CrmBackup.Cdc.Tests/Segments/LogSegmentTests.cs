using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests.Segments;

public sealed class LogSegmentTests
{
    static readonly RelationShape Accounts = Given.Shape(1, 1, ("id", "bigint"), ("name", "text"));

    [Fact]
    public async Task Every_event_comes_back_in_order_from_the_other_library()
    {
        var builder = new LogSegmentBuilder();
        Fill(builder, transactions: 700, eventsEach: 5);
        var (bytes, entry) = await WriteAsync(builder, builder.CompleteRows);

        var expected = Enumerable.Range(0, builder.Rows).Select(row => builder[row]).ToList();
        Given.Same(expected, Read(bytes, entry));
        Assert.Equal(expected.Count, entry.Rows);
        Assert.Equal(new Lsn(1000), entry.First);
        Assert.Equal(new Lsn(1000 + 699 * 16), entry.Last);
        Assert.Equal(ulong.MaxValue, entry.MaxXid);
        Assert.Equal(bytes.Length, entry.Bytes);
        Assert.Equal(Sha256.Of(bytes), entry.FileHash);
        SegmentFile.VerifyWritten(new MemoryStream(bytes), entry);
    }

    [Fact]
    public async Task Only_encodings_that_every_reader_knows_are_written()
    {
        var builder = new LogSegmentBuilder();
        Fill(builder, transactions: 5000, eventsEach: 5);
        var (bytes, _) = await WriteAsync(builder, builder.CompleteRows);
        using var parquet = new ParquetSharp.ParquetFileReader(new MemoryStream(bytes));
        using var group = parquet.RowGroup(0);
        for (var i = 0; i < group.MetaData.NumColumns; i++)
            Assert.Subset(
                new HashSet<ParquetSharp.Encoding> { ParquetSharp.Encoding.Plain, ParquetSharp.Encoding.Rle, ParquetSharp.Encoding.RleDictionary, ParquetSharp.Encoding.PlainDictionary },
                group.MetaData.GetColumnChunkMetaData(i).Encodings.ToHashSet());
    }

    [Fact]
    public async Task Only_complete_transactions_are_written_and_the_open_one_stays()
    {
        var builder = new LogSegmentBuilder();
        Fill(builder, transactions: 3, eventsEach: 5);
        var open = builder.Add(EventKind.Insert, 1, 1, 99, 0, OldTupleKind.None, default, Given.Tuple("9", new string('x', 3_000_000)));
        builder.Add(EventKind.Insert, 1, 1, 99, 1, OldTupleKind.None, default, Given.Tuple("10", "open"));
        Assert.Equal(15, builder.CompleteRows);
        var (_, first) = await WriteAsync(builder, builder.CompleteRows);
        Assert.Equal(15, first.Rows);

        builder.DropFirst(15);
        Assert.Equal((2, 0), (builder.Rows, builder.CompleteRows));
        builder.CompleteTransaction(open - 15, new Lsn(77), new SourceTime(5));
        var (bytes, second) = await WriteAsync(builder, builder.CompleteRows);
        var read = Read(bytes, second);
        Assert.Equal([new Lsn(77), new Lsn(77)], read.Select(change => change.CommitLsn));
        Assert.Equal("open", Given.Texts(read[1].NewTuple.Span)[1]);

        builder.DropFirst(2);
        Assert.Equal((0, 0L), (builder.Rows, builder.Bytes));
    }

    [Fact]
    public void An_open_transaction_can_be_dropped_and_read_again()
    {
        var builder = new LogSegmentBuilder();
        Fill(builder, transactions: 2, eventsEach: 5);
        var bytes = builder.Bytes;
        var open = builder.Add(EventKind.Insert, 1, 1, 9, 0, OldTupleKind.None, default, Given.Tuple("1", "lost"));
        builder.TruncateTo(open);
        Assert.Equal((10, bytes), (builder.Rows, builder.Bytes));
        builder.Add(EventKind.Insert, 1, 1, 9, 0, OldTupleKind.None, default, Given.Tuple("1", "again"));
        Assert.Equal("again", Given.Texts(builder[10].NewTuple.Span)[1]);
    }

    [Fact]
    public async Task A_reader_holds_one_row_group_of_16_MiB_at_most_and_filters_by_relation()
    {
        var builder = new LogSegmentBuilder();
        var text = new string('y', 1 << 20);
        for (var i = 0; i < 40; i++)
            builder.Add(EventKind.Insert, 1 + i % 2, 1, 5, i, OldTupleKind.None, default, Given.Tuple($"{i}", text));
        builder.CompleteTransaction(0, new Lsn(100), new SourceTime(1));
        var (bytes, entry) = await WriteAsync(builder, 40);
        using (var parquet = new ParquetSharp.ParquetFileReader(new MemoryStream(bytes)))
            Assert.Equal(3, parquet.FileMetaData.NumRowGroups);
        using var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry);
        Assert.Equal(20, file.ReadEvents(relation: 2).Count());
    }

    [Fact]
    public async Task One_flipped_bit_is_found_before_anything_is_used()
    {
        var builder = new LogSegmentBuilder();
        Fill(builder, transactions: 3, eventsEach: 5);
        var (bytes, entry) = await WriteAsync(builder, builder.CompleteRows);
        bytes[bytes.Length / 2] ^= 4;
        var error = Assert.Throws<DifferenceException>(() => SegmentFile.OpenVerified(new MemoryStream(bytes), entry));
        Assert.Contains(entry.Path, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_lone_file_says_whose_it_is_and_what_it_holds()
    {
        var builder = new LogSegmentBuilder();
        Fill(builder, transactions: 3, eventsEach: 5);
        var (bytes, entry) = await WriteAsync(builder, builder.CompleteRows);
        using var file = SegmentFile.OpenAlone(new MemoryStream(bytes), "found.parquet");
        Assert.Equal(Given.Origin, file.Description.Origin);
        Assert.Equal(Accounts.Columns, file.Description.Relations.Single().Columns);
        Assert.Equal(entry, file.Description.ToEntry(entry.Path, bytes.Length, Sha256.Of(bytes)));
    }

    static void Fill(LogSegmentBuilder builder, int transactions, int eventsEach)
    {
        Assert.Equal(5, eventsEach);
        for (var t = 0; t < transactions; t++)
        {
            var xid = t == 1 ? ulong.MaxValue : (ulong)t;
            var first = builder.Add(EventKind.Insert, 1, 1, xid, 0, OldTupleKind.None, default, Given.Tuple($"{t}", "naïve"));
            builder.Add(EventKind.Update, 1, 1, xid, 1, OldTupleKind.Key, Given.Tuple($"{t}", null), Given.Tuple($"{-t}", Given.Unchanged));
            builder.Add(EventKind.Delete, 1, 1, xid, 2, OldTupleKind.Full, Given.Tuple($"{t}", ""), default);
            builder.Add(EventKind.Truncate, 1, 1, xid, 3, OldTupleKind.None, default, default);
            builder.Add(EventKind.Message, 0, 0, xid, 4, OldTupleKind.None, default, Given.Tuple("crmbackup", "{}"));
            builder.CompleteTransaction(first, new Lsn(1000 + (ulong)t * 16), new SourceTime(1_700_000_000_000_000 - t));
        }
    }

    static async Task<(byte[] Bytes, SegmentEntry Entry)> WriteAsync(LogSegmentBuilder builder, int rows)
    {
        var output = new MemoryStream();
        var entry = await LogSegmentFile.WriteAsync(
            output, "log/2026-11-22/00000001-000000000001.parquet", builder, rows, Given.Origin,
            (relation, _) => relation == 1 ? Accounts : Accounts with { Number = relation }, CancellationToken.None);
        return (output.ToArray(), entry);
    }

    static List<ChangeEvent> Read(byte[] bytes, SegmentEntry entry)
    {
        using var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry);
        return [.. file.ReadEvents().Select(Given.Kept)];
    }
}
