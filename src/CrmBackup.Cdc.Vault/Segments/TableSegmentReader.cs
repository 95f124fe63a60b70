using CrmBackup.Cdc.Core;
using ParquetSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>Reads base and changes segments back into tuples by ParquetSharp, one row group in memory at a time.</summary>
sealed class TableSegmentReader
{
    readonly ParquetFileReader _file;
    readonly TableLayout _layout;
    readonly Dictionary<string, int> _indexes = [];
    readonly ColumnDecoder[] _new;
    readonly ColumnDecoder?[] _old;
    readonly BytesColumn _exceptions = new();
    readonly BytesColumn _unchanged = new();
    readonly TupleAssembly _tuples;

    public TableSegmentReader(ParquetFileReader file, SegmentDescription description)
    {
        _file = file;
        _layout = TableLayout.Of(description);
        for (var i = 0; i < file.FileMetaData.Schema.NumColumns; i++)
            _indexes.Add(file.FileMetaData.Schema.Column(i).Name, i);
        _new = [.. _layout.Twins.Select(twin => twin.NewDecoder())];
        _old = [.. _layout.Columns.Select((column, i) => column.OldColumn is null ? null : _layout.Twins[i].NewDecoder())];
        _tuples = new TupleAssembly(_layout, _new, _old, _exceptions, _layout.Kind == SegmentKind.Changes ? _unchanged : null);
    }

    public IEnumerable<ReadOnlyMemory<byte>> Rows()
    {
        for (var i = 0; i < _file.FileMetaData.NumRowGroups; i++)
        {
            using var group = _file.RowGroup(i);
            var rows = ReadColumns(group);
            for (var row = 0; row < rows; row++)
                yield return _tuples.BaseTuple(row);
        }
    }

    public IEnumerable<ChangeEvent> Events()
    {
        var (op, oldKind, oldRaw) = (new BytesColumn(), new BytesColumn(), new BytesColumn());
        var (commitLsn, commitTime, xid) = (new NumbersColumn<long>(), new NumbersColumn<long>(), new NumbersColumn<long>());
        var seq = new NumbersColumn<int>();
        for (var i = 0; i < _file.FileMetaData.NumRowGroups; i++)
        {
            using var group = _file.RowGroup(i);
            var rows = ReadColumns(group);
            for (var column = 0; column < _old.Length; column++)
                _old[column]?.Read(group, IndexOf(_layout.Columns[column].OldColumn!), rows);
            op.Read(group, IndexOf(MetadataColumn.Op), rows);
            oldKind.Read(group, IndexOf(MetadataColumn.OldKind), rows);
            oldRaw.Read(group, IndexOf(MetadataColumn.Old), rows);
            commitLsn.Read(group, IndexOf(MetadataColumn.CommitLsn), rows);
            commitTime.Read(group, IndexOf(MetadataColumn.CommitTime), rows);
            xid.Read(group, IndexOf(MetadataColumn.Xid), rows);
            seq.Read(group, IndexOf(MetadataColumn.Seq), rows);
            _unchanged.Read(group, IndexOf(MetadataColumn.Unchanged), rows);
            for (var row = 0; row < rows; row++)
            {
                var kind = (EventKind)MetadataColumn.Letter(op.Text(row));
                var old = oldKind.IsNull(row) ? OldTupleKind.None : (OldTupleKind)MetadataColumn.Letter(oldKind.Text(row));
                var tuples = _tuples.Tuples(row, kind, old, oldRaw[row]);
                yield return new ChangeEvent(
                    new Lsn(unchecked((ulong)commitLsn[row])), new SourceTime(commitTime[row]), unchecked((ulong)xid[row]), seq[row],
                    kind, _layout.Shape.Number, _layout.Shape.Version, old, tuples.Old, tuples.New);
            }
        }
    }

    int ReadColumns(RowGroupReader group)
    {
        var rows = checked((int)group.MetaData.NumRows);
        for (var i = 0; i < _new.Length; i++)
            _new[i].Read(group, IndexOf(_layout.Columns[i].Column), rows);
        _exceptions.Read(group, IndexOf(MetadataColumn.Exceptions), rows);
        return rows;
    }

    int IndexOf(string column) => _indexes.TryGetValue(column, out var index)
        ? index
        : throw new FormatViolationException($"a {_layout.Kind} segment of {_layout.Shape.FullName} has no column {column}");
}
