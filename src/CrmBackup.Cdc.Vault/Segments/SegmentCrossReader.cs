using CrmBackup.Cdc.Core;
using Parquet;
using Parquet.Schema;

namespace CrmBackup.Cdc.Vault;

/// <summary>Reads table segments by Parquet.Net, to check the library that wrote them. Its columns are used for one row group after the other.</summary>
sealed class SegmentCrossReader
{
    readonly TableLayout _layout;
    readonly CrossColumn[] _new;
    readonly CrossColumn?[] _old;
    readonly CrossBytes _exceptions = new(MetadataColumn.Exceptions, nullable: true);
    readonly CrossBytes _unchanged = new(MetadataColumn.Unchanged, nullable: true);
    readonly CrossBytes _op = new(MetadataColumn.Op, nullable: false);
    readonly CrossBytes _oldKind = new(MetadataColumn.OldKind, nullable: true);
    readonly CrossBytes _oldRaw = new(MetadataColumn.Old, nullable: true);
    readonly CrossNumbers<long, LongCodec> _commitLsn = new(MetadataColumn.CommitLsn, nullable: false);
    readonly CrossNumbers<long, LongCodec> _commitTime = new(MetadataColumn.CommitTime, nullable: false);
    readonly CrossNumbers<long, LongCodec> _xid = new(MetadataColumn.Xid, nullable: false);
    readonly CrossNumbers<int, IntCodec> _seq = new(MetadataColumn.Seq, nullable: false);
    readonly List<CrossColumn> _columns;
    readonly TupleAssembly _tuples;

    SegmentCrossReader(TableLayout layout)
    {
        _layout = layout;
        _new = [.. layout.Columns.Select((column, i) => layout.Twins[i].NewCross(column.Column))];
        _old = [.. layout.Columns.Select((column, i) => column.OldColumn is { } old ? layout.Twins[i].NewCross(old) : null)];
        _columns = layout.Kind == SegmentKind.Base ? [.. _new, _exceptions]
            : [.. _new, .. _old.OfType<CrossColumn>(), _exceptions, _unchanged, _op, _oldKind, _oldRaw, _commitLsn, _commitTime, _xid, _seq];
        // Only what is part of a schema can be read.
        _ = new ParquetSchema(_columns.Select(column => column.Physical));
        _tuples = new TupleAssembly(layout, _new, _old, _exceptions, layout.Kind == SegmentKind.Changes ? _unchanged : null);
    }

    /// <summary>Adds every event, or every base row, of a table segment in its order.</summary>
    /// <param name="stream">Read from its beginning; not closed.</param>
    public static async Task TallyAsync(Stream stream, EventTally tally, CancellationToken stop)
    {
        await using var file = await ParquetReader.CreateAsync(stream, null, leaveStreamOpen: true, stop);
        var reader = new SegmentCrossReader(TableLayout.Of(SegmentDescription.Parse("the segment", file.CustomMetadata)));
        for (var i = 0; i < file.RowGroupCount; i++)
        {
            using var group = file.OpenRowGroupReader(i);
            foreach (var column in reader._columns)
                await column.ReadAsync(group, stop);
            reader.Tally(checked((int)group.RowCount), tally);
        }
    }

    void Tally(int rows, EventTally tally)
    {
        for (var row = 0; row < rows; row++)
            if (_layout.Kind == SegmentKind.Base)
                tally.AddRow(_tuples.BaseTuple(row).Span);
            else
                tally.Add(Event(row));
    }

    ChangeEvent Event(int row)
    {
        var kind = (EventKind)MetadataColumn.Letter(_op.Text(row));
        var oldKind = _oldKind.IsNull(row) ? OldTupleKind.None : (OldTupleKind)MetadataColumn.Letter(_oldKind.Text(row));
        var tuples = _tuples.Tuples(row, kind, oldKind, _oldRaw.IsNull(row) ? default : _oldRaw[row]);
        return new ChangeEvent(
            new Lsn(unchecked((ulong)_commitLsn[row])), new SourceTime(_commitTime[row]), unchecked((ulong)_xid[row]), _seq[row],
            kind, _layout.Shape.Number, _layout.Shape.Version, oldKind, tuples.Old, tuples.New);
    }
}
