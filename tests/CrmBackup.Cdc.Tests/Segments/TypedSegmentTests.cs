using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;
using ParquetSharp;
using Xunit;

namespace CrmBackup.Cdc.Tests.Segments;

public sealed class TypedSegmentTests
{
    /// <summary>Per type: values that have a twin, and values that must become exceptions.</summary>
    public static TheoryData<string, string[], string[]> Types => new()
    {
        { "boolean", ["t", "f"], ["true", ""] },
        { "smallint", ["0", "-32768", "32767"], ["-0", "+1", " 1"] },
        { "integer", ["0", "-2147483648", "2147483647"], ["2147483648", "01"] },
        { "bigint", ["-9223372036854775808", "9223372036854775807"], ["9223372036854775808"] },
        {
            "real",
            ["0", "-0", "1", "1.5", "1e+06", "999999", "100000", "0.0001", "1e-05", "3.4028235e+38", "1e-45", "0.1", "1.6777216e+07", "4.0436728e+07", "-1.5320639e+10", "NaN", "Infinity", "-Infinity"],
            ["0.10", "16777216", "1E6", "inf", "nan", ""]
        },
        {
            "double precision",
            ["0", "-0", "1", "-1.5", "1e+20", "1e+15", "100000000000000", "0.0001", "1e-05", "1.7976931348623157e+308", "5e-324", "0.1", "0.30000000000000004", "123456789.12345679", "-1.8653726193651999e+18", "9.007199254740992e+15", "NaN", "Infinity", "-Infinity"],
            ["1e20", "1000000000000000", "2.9802322387695312e-08", "0.00001", "1e999"]
        },
        { "numeric(9,2)", ["0.00", "-0.05", "9999999.99", "-9999999.99"], ["NaN", "Infinity", "1", "1.5", "-0.00", "10000000.00"] },
        { "numeric(18,0)", ["0", "-999999999999999999"], ["1000000000000000000", "0.0"] },
        { "numeric(18,18)", ["0.000000000000000001", "-0.999999999999999999"], ["1.000000000000000000", ".5"] },
        { "numeric(19,1)", ["999999999999999999.9", "-0.1", "0.0"], ["NaN", "1000000000000000000.0"] },
        {
            "numeric(38,38)",
            ["0.00000000000000000000000000000000000001", "-0.99999999999999999999999999999999999999"],
            ["1.00000000000000000000000000000000000000", "99999999999999999999999999999999999999999999"]
        },
        { "numeric(38,0)", ["99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"], ["100000000000000000000000000000000000000", "-"] },
        { "numeric(39,2)", ["NaN", "1.50", "0"], [] },
        { "numeric", ["NaN", "-Infinity", "1.500", "0." + Zeros(9999) + "1", "1" + Zeros(130000)], [] },
        { "numeric(5,-2)", ["12300", "NaN"], [] },
        { "uuid", ["00000000-0000-0000-0000-000000000000", "ffeeddcc-bbaa-9988-7766-554433221100"], ["FFEEDDCC-bbaa-9988-7766-554433221100", "{}"] },
        {
            "date",
            ["1970-01-01", "0001-01-01", "9999-12-31", "2000-02-29", "1582-10-10"],
            ["infinity", "-infinity", "0044-03-15 BC", "10000-01-01", "5874897-12-31", "2001-02-29"]
        },
        { "time without time zone", ["00:00:00", "23:59:59.999999", "12:30:00.5", "01:02:03.000001"], ["24:00:00", "12:30:00.50", "12:30"] },
        {
            "timestamp without time zone",
            ["1970-01-01 00:00:00", "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "1969-12-31 23:59:59.9"],
            ["infinity", "-infinity", "4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "2024-01-01T00:00:00"]
        },
        {
            "timestamp with time zone",
            ["1970-01-01 00:00:00+00", "2026-11-22 10:00:00.123456+00", "0001-12-31 23:59:59+00"],
            ["infinity", "0044-03-15 00:00:00+00 BC", "2026-11-22 10:00:00+02", "2026-11-22 10:00:00"]
        },
        { "bytea", ["\\x", "\\x00", "\\xdeadbeef"], ["\\xDEADBEEF", "\\000", ""] },
        { "json", ["{\"a\": 1.0}", "null", " [1, 2] ", "\"\\ud83d\\ude00\""], [] },
        { "jsonb", ["{\"a\": 1.0}", "null"], [] },
        { "text", ["", "naïve ☃ 😀", "\\N", "tab\tnew\nline\\", "\u0001\u007f"], [] },
        { "character varying(5)", ["", " x "], [] },
        { "character(3)", ["a  ", "   "], [] },
        { "integer[]", ["{}", "{1,NULL,3}", "[0:1]={1,2}"], [] },
        { "public.stage", ["open", "closed, \"won\""], [] },
        { "interval", ["1 year 2 mons -3 days +04:05:06.789", "infinity"], [] },
    };

    static string Zeros(int count) => new('0', count);

    [Theory, MemberData(nameof(Types))]
    public async Task Every_value_comes_back_exactly_from_base_and_changes_by_either_library(string type, string[] typed, string[] exceptions)
    {
        var shape = Given.Shape(4, 2, ("id", "bigint"), ("v", type));
        string?[] values = [.. typed, null, .. exceptions];
        var tuples = values.Select((value, i) => Given.Tuple($"{i}", value)).ToList();

        var (bytes, entry) = Written.Base(shape, tuples);
        using (var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry))
            Assert.Equal(tuples, file.ReadRows().Select(row => row.ToArray()));
        Assert.Equal(typed.Length, Values(bytes));
        Assert.Equal(ReadBackBy.OtherLibrary, await ReadBackAsync(bytes, entry));

        // As keys too: the old value stands in a typed column of its own.
        shape = shape with { Columns = [.. shape.Columns.Select(column => column with { IsKey = true })] };
        var events = tuples.Select((tuple, i) => new ChangeEvent(
            new Lsn(100), new SourceTime(7), 5, i, EventKind.Update, 4, 2, OldTupleKind.Full, tuples[^(i + 1)], tuple)).ToList();
        (bytes, entry) = Written.Changes(shape, events);
        using (var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry))
            Given.Same(events, [.. file.ReadEvents().Select(Given.Kept)]);
        using (var parquet = new ParquetFileReader(new MemoryStream(bytes)))
            Assert.Equal(events.Count, NullsOf(parquet, "_old"));
        SegmentFile.VerifyWritten(new MemoryStream(bytes), entry);
        Assert.Equal(ReadBackBy.OtherLibrary, await ReadBackAsync(bytes, entry));
    }

    [Fact]
    public void Bytes_that_are_not_UTF8_stay_as_they_are()
    {
        var shape = Given.Shape(1, 1, ("id", "bigint"), ("v", "text"));
        var writer = new TupleWriter();
        writer.Begin();
        writer.Text("1"u8);
        writer.Text([0xFF, 0x00, (byte)'"', 0xC3]);
        var tuple = writer.End().ToArray();
        var (bytes, entry) = Written.Base(shape, [tuple]);
        using var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry);
        Assert.Equal(tuple, file.ReadRows().Single().ToArray());
    }

    [Fact]
    public async Task Unchanged_NULL_and_empty_stay_apart()
    {
        var shape = Given.Shape(1, 1, ("id", "bigint"), ("doc", "text"), ("say \"hi\"\n", "text"));
        ChangeEvent[] events =
        [
            Event(0, EventKind.Insert, OldTupleKind.None, null, Given.Tuple("1", "", null)),
            Event(1, EventKind.Update, OldTupleKind.None, null, Given.Tuple("1", Given.Unchanged, Given.Unchanged)),
            Event(2, EventKind.Update, OldTupleKind.Key, Given.Tuple("1", null, null), Given.Tuple("2", null, "")),
            Event(3, EventKind.Delete, OldTupleKind.Key, Given.Tuple("2", null, null), null),
            Event(4, EventKind.Delete, OldTupleKind.Key, Given.Tuple("2", "should not be here", null), null),
            Event(5, EventKind.Truncate, OldTupleKind.None, null, null),
            Event(6, EventKind.Rewrite, OldTupleKind.None, null, null),
        ];
        var (bytes, entry) = Written.Changes(shape, events);
        using var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry);
        Given.Same(events, [.. file.ReadEvents().Select(Given.Kept)]);
        Assert.Empty(file.ReadEvents(relation: 2));
        Assert.Equal(ReadBackBy.OtherLibrary, await ReadBackAsync(bytes, entry));
    }

    [Fact]
    public void Messages_are_events_of_relation_0()
    {
        ChangeEvent[] events = [Event(0, EventKind.Message, OldTupleKind.None, null, Given.Tuple("crmbackup", "{\"is\":\"mark\"}")) with { Relation = 0, Shape = 0 }];
        var (bytes, entry) = Written.Changes(ChangesSegmentWriter.Messages, events);
        Assert.Equal(0, entry.Relation);
        using var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry);
        Given.Same(events, [.. file.ReadEvents().Select(Given.Kept)]);
    }

    [Fact]
    public async Task A_user_may_name_columns_as_we_do()
    {
        var shape = Given.Shape(1, 1,
            ("_op", "bigint"), ("_OP", "text"), ("op_1", "text"), ("_old_op_1", "text"), ("_xid", "text"), ("date", "date"), ("Date", "date"), ("_exceptions", "json"), ("a.b", "double precision"));
        shape = shape with { Columns = [.. shape.Columns.Select(column => column with { IsKey = true })] };
        var tuple = Given.Tuple("1", "2", "3", "4", "5", "infinity", "2024-01-01", "{}", "NaN");
        ChangeEvent[] events = [Event(0, EventKind.Update, OldTupleKind.Full, tuple, tuple)];
        var (bytes, entry) = Written.Changes(shape, events);
        using (var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry))
        {
            Given.Same(events, [.. file.ReadEvents().Select(Given.Kept)]);
            var names = file.Description.Columns!.Select(column => column.Column).ToList();
            Assert.Equal(["op_1", "OP_2", "op_1_3", "old_op_1_4", "xid_5", "date", "Date_7", "exceptions_8", "a.b"], names);
        }
        Assert.Equal(ReadBackBy.OtherLibrary, await ReadBackAsync(bytes, entry));
        using var parquet = new ParquetFileReader(new MemoryStream(bytes));
        var columns = Enumerable.Range(0, parquet.FileMetaData.Schema.NumColumns).Select(i => parquet.FileMetaData.Schema.Column(i).Name).ToList();
        Assert.Equal(columns.Count, columns.Distinct(StringComparer.OrdinalIgnoreCase).Count());
    }

    [Fact]
    public async Task Tables_without_columns_and_with_1600_keep_their_rows()
    {
        var none = Given.Shape(1, 1);
        var (bytes, entry) = Written.Base(none, [Given.Tuple(), Given.Tuple(), Given.Tuple()]);
        using (var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry))
            Assert.Equal(3, file.ReadRows().Count(row => row.Span.SequenceEqual(Given.Tuple())));
        ChangeEvent[] events = [Event(0, EventKind.Insert, OldTupleKind.None, null, Given.Tuple())];
        (bytes, entry) = Written.Changes(none, events);
        using (var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry))
            Given.Same(events, [.. file.ReadEvents().Select(Given.Kept)]);
        Assert.Equal(ReadBackBy.OtherLibrary, await ReadBackAsync(bytes, entry));

        var wide = Given.Shape(1, 1, [.. Enumerable.Range(1, 1600).Select(i => ($"c{i}", i % 2 == 0 ? "bigint" : "text"))]);
        var tuples = Enumerable.Range(0, 20).Select(row => Given.Tuple([.. Enumerable.Range(0, 1600).Select(i => $"{row + i}")])).ToList();
        (bytes, entry) = Written.Base(wide, tuples);
        using (var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry))
            Assert.Equal(tuples, file.ReadRows().Select(row => row.ToArray()));
    }

    [Fact]
    public async Task A_segment_that_holds_something_else_does_not_pass_the_read_back()
    {
        var shape = Given.Shape(1, 1, ("id", "bigint"));
        var (bytes, entry) = Written.Base(shape, [Given.Tuple("1")]);
        var other = entry with { ContentHash = Sha256.Zero };
        await Assert.ThrowsAsync<DifferenceException>(() => ReadBackAsync(bytes, other));
    }

    [Fact]
    public void Statistics_are_right_or_absent()
    {
        var shape = Given.Shape(1, 1, ("id", "bigint"), ("f", "double precision"), ("t", "text"), ("at", "timestamp with time zone"), ("n", "numeric(30,2)"));
        var (bytes, _) = Written.Base(shape,
        [
            Given.Tuple("-5", "NaN", "z" + new string('x', 5000), "1999-01-01 00:00:00+00", "-1.00"),
            Given.Tuple("7", "1", "é", "2001-01-01 00:00:00.000001+00", "2.00"),
        ]);
        using var parquet = new ParquetFileReader(new MemoryStream(bytes));
        using var group = parquet.RowGroup(0);
        var (id, f, t) = (group.MetaData.GetColumnChunkMetaData(0), group.MetaData.GetColumnChunkMetaData(1), group.MetaData.GetColumnChunkMetaData(2));
        Assert.Equal((-5L, 7L), ((Statistics<long>)id.Statistics!).Let(s => (s.Min, s.Max)));
        Assert.True(f.Statistics is null or { HasMinMax: false });
        Assert.True(t.Statistics is null or { HasMinMax: false });
        Assert.Equal(
            (915148800000000L, 978307200000001L),
            ((Statistics<long>)group.MetaData.GetColumnChunkMetaData(3).Statistics!).Let(s => (s.Min, s.Max)));
    }

    [Fact]
    public void Row_groups_stay_small_and_one_value_may_be_larger()
    {
        var shape = Given.Shape(1, 1, ("id", "bigint"), ("v", "text"));
        var tuples = new[] { 40 << 20, 1, 9 << 20, 9 << 20 }.Select((size, i) => Given.Tuple($"{i}", new string('a', size))).ToList();
        var (bytes, entry) = Written.Base(shape, tuples);
        using (var parquet = new ParquetFileReader(new MemoryStream(bytes)))
            Assert.Equal(3, parquet.FileMetaData.NumRowGroups);
        using var file = SegmentFile.OpenVerified(new MemoryStream(bytes), entry);
        Assert.True(file.ReadRows().Zip(tuples).All(pair => pair.First.Span.SequenceEqual(pair.Second)));
    }

    static ChangeEvent Event(int ordinal, EventKind kind, OldTupleKind oldKind, byte[]? old, byte[]? @new) =>
        new(new Lsn(0xFFFF_FFFF_FFFF_FFFF), new SourceTime(-1), ulong.MaxValue, ordinal, kind, 1, 1, oldKind, old, @new);

    static Task<ReadBackBy> ReadBackAsync(byte[] bytes, SegmentEntry entry) =>
        SegmentCheck.ReadBackAsync(() => new MemoryStream(bytes), entry, NullLogger.Instance, CancellationToken.None);

    /// <summary>Values of column v that stand in its typed twin.</summary>
    static long Values(byte[] file)
    {
        using var parquet = new ParquetFileReader(new MemoryStream(file));
        return parquet.FileMetaData.NumRows - NullsOf(parquet, "v");
    }

    static long NullsOf(ParquetFileReader parquet, string column)
    {
        var index = Enumerable.Range(0, parquet.FileMetaData.NumColumns).First(i => parquet.FileMetaData.Schema.Column(i).Name == column);
        using var group = parquet.RowGroup(0);
        var decoder = group.Column(index);
        using (decoder)
        {
            var levels = new short[group.MetaData.NumRows];
            var nulls = 0L;
            while (decoder.HasNext)
                nulls += decoder.Apply(new CountNulls(levels));
            return nulls;
        }
    }

    sealed class CountNulls(short[] levels) : IColumnReaderVisitor<long>
    {
        public long OnColumnReader<TValue>(ColumnReader<TValue> columnReader) where TValue : unmanaged
        {
            var read = columnReader.ReadBatch(levels.Length, levels, default, new TValue[levels.Length], out var values);
            return read - values;
        }
    }
}

static class Pipe
{
    public static TOut Let<TIn, TOut>(this TIn value, Func<TIn, TOut> map) => map(value);
}
