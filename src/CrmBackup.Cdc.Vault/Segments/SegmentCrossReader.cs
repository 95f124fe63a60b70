using System.Runtime.CompilerServices;
using CrmBackup.Cdc.Core;
using Parquet;
using Parquet.Schema;

namespace CrmBackup.Cdc.Vault;

/// <summary>Reads segments by Parquet.Net: slower, kept to check the one library by the other. Does not own the stream.</summary>
public static class SegmentCrossReader
{
    static readonly ParquetOptions Options = new() { UseBigDecimal = true };

    /// <summary>The events in commit order. Tuples are valid until the enumeration moves on.</summary>
    public static async IAsyncEnumerable<ChangeEvent> ReadEventsAsync(
        Stream stream, [EnumeratorCancellation] CancellationToken stop)
    {
        await using var reader = await ParquetReader.CreateAsync(stream, Options, leaveStreamOpen: true, stop);
        var description = SegmentDescription.Parse("the segment", reader.CustomMetadata);
        for (var i = 0; i < reader.RowGroupCount; i++)
        {
            using var group = reader.OpenRowGroupReader(i);
            var rows = description.Kind == SegmentKind.Log
                ? await LogRowsAsync(group, stop) : await TableRowsAsync(reader, group, description, stop);
            foreach (var change in rows)
                yield return change;
        }
    }

    /// <summary>The rows of a base segment, as tuples. Valid until the enumeration moves on.</summary>
    public static async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadRowsAsync(
        Stream stream, [EnumeratorCancellation] CancellationToken stop)
    {
        await using var reader = await ParquetReader.CreateAsync(stream, Options, leaveStreamOpen: true, stop);
        var layout = TableLayout.Of(SegmentDescription.Parse("the segment", reader.CustomMetadata));
        for (var i = 0; i < reader.RowGroupCount; i++)
        {
            using var group = reader.OpenRowGroupReader(i);
            var columns = new Columns(reader, group, stop);
            var tuples = new TupleAssembly(
                layout, await columns.UserAsync(layout), [], await columns.OwnAsync(MetadataColumn.Exceptions), unchanged: null);
            for (var row = 0; row < group.RowCount; row++)
                yield return tuples.BaseTuple(row);
        }
    }

    static async Task<IEnumerable<ChangeEvent>> TableRowsAsync(
        ParquetReader reader, ParquetRowGroupReader group, SegmentDescription description, CancellationToken stop)
    {
        var layout = TableLayout.Of(description);
        var columns = new Columns(reader, group, stop);
        var tuples = new TupleAssembly(
            layout, await columns.UserAsync(layout), await columns.OldAsync(layout),
            await columns.OwnAsync(MetadataColumn.Exceptions), await columns.OwnAsync(MetadataColumn.Unchanged));
        var op = await columns.OwnAsync(MetadataColumn.Op);
        var oldKind = await columns.OwnAsync(MetadataColumn.OldKind);
        var oldRaw = await columns.OwnAsync(MetadataColumn.Old);
        var commitLsn = await columns.OwnAsync(MetadataColumn.CommitLsn);
        var commitTime = await columns.OwnAsync(MetadataColumn.CommitTime);
        var xid = await columns.OwnAsync(MetadataColumn.Xid);
        var seq = await columns.OwnAsync(MetadataColumn.Seq);
        return Enumerable.Range(0, checked((int)group.RowCount)).Select(row =>
        {
            var kind = (EventKind)MetadataColumn.Letter(op.Text(row));
            var old = oldKind.IsNull(row) ? OldTupleKind.None : (OldTupleKind)MetadataColumn.Letter(oldKind.Text(row));
            var pair = tuples.Tuples(row, kind, old, oldRaw.IsNull(row) ? default : oldRaw.Text(row).ToArray());
            return new ChangeEvent(
                new Lsn(unchecked((ulong)commitLsn.Long(row))), new SourceTime(commitTime.Long(row)), unchecked((ulong)xid.Long(row)),
                (int)seq.Long(row), kind, layout.Shape.Number, layout.Shape.Version, old, pair.Old, pair.New);
        });
    }

    static async Task<IEnumerable<ChangeEvent>> LogRowsAsync(ParquetRowGroupReader group, CancellationToken stop)
    {
        var rows = checked((int)group.RowCount);
        long[] commitLsn = new long[rows], commitTime = new long[rows], xid = new long[rows];
        int[] ordinal = new int[rows], op = new int[rows], relation = new int[rows], shape = new int[rows], oldKind = new int[rows];
        byte[]?[] oldTuple = new byte[rows][], newTuple = new byte[rows][];
        await group.ReadAsync<long>(LogSegmentFile.CommitLsn, commitLsn, cancellationToken: stop);
        await group.ReadAsync<long>(LogSegmentFile.CommitTime, commitTime, cancellationToken: stop);
        await group.ReadAsync<long>(LogSegmentFile.Xid, xid, cancellationToken: stop);
        await group.ReadAsync<int>(LogSegmentFile.Ordinal, ordinal, cancellationToken: stop);
        await group.ReadAsync<int>(LogSegmentFile.Op, op, cancellationToken: stop);
        await group.ReadAsync<int>(LogSegmentFile.Relation, relation, cancellationToken: stop);
        await group.ReadAsync<int>(LogSegmentFile.Shape, shape, cancellationToken: stop);
        await group.ReadAsync<int>(LogSegmentFile.OldKind, oldKind, cancellationToken: stop);
        await group.ReadAsync(LogSegmentFile.OldTuple, oldTuple.AsMemory()!, cancellationToken: stop);
        await group.ReadAsync(LogSegmentFile.NewTuple, newTuple.AsMemory()!, cancellationToken: stop);
        return Enumerable.Range(0, rows).Select(row => new ChangeEvent(
            new Lsn(unchecked((ulong)commitLsn[row])), new SourceTime(commitTime[row]), unchecked((ulong)xid[row]),
            ordinal[row], (EventKind)op[row], relation[row], shape[row], (OldTupleKind)oldKind[row], oldTuple[row], newTuple[row]));
    }

    sealed class Columns(ParquetReader reader, ParquetRowGroupReader group, CancellationToken stop)
    {
        readonly Dictionary<string, DataField> _fields = reader.Schema.DataFields.ToDictionary(field => field.Name);

        public Task<CrossColumn> OwnAsync(string name) => ReadAsync(name, twin: "own");

        public async Task<List<CrossColumn>> UserAsync(TableLayout layout)
        {
            var columns = new List<CrossColumn>();
            foreach (var column in layout.Columns)
                columns.Add(await ReadAsync(column.Column, column.Twin));
            return columns;
        }

        public async Task<List<CrossColumn?>> OldAsync(TableLayout layout)
        {
            var columns = new List<CrossColumn?>();
            foreach (var column in layout.Columns)
                columns.Add(column.OldColumn is { } old ? await ReadAsync(old, column.Twin) : null);
            return columns;
        }

        Task<CrossColumn> ReadAsync(string name, string twin) => _fields.TryGetValue(name, out var field)
            ? CrossColumn.ReadAsync(group, field, twin, stop)
            : throw new FormatViolationException($"a segment has no column {name}");
    }
}
