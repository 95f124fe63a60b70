using CrmBackup.Cdc.Core;
using ParquetSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>Reads base and changes segments back into tuples, one row group in memory at a time.</summary>
sealed class TableSegmentReader
{
    readonly ParquetFileReader _file;
    readonly TableLayout _layout;
    readonly Dictionary<string, int> _indexes = [];
    readonly Dictionary<string, int> _positions = [];
    readonly ColumnDecoder[] _new;
    readonly ColumnDecoder?[] _old;
    readonly BytesColumn _exceptions = new();
    readonly BytesColumn _unchanged = new();
    readonly TupleWriter _newTuple = new();
    readonly TupleWriter _oldTuple = new();

    public TableSegmentReader(ParquetFileReader file, SegmentDescription description)
    {
        _file = file;
        _layout = TableLayout.Of(description);
        for (var i = 0; i < file.FileMetaData.Schema.NumColumns; i++)
            _indexes.Add(file.FileMetaData.Schema.Column(i).Name, i);
        for (var i = 0; i < _layout.Columns.Count; i++)
            _positions.Add(_layout.Columns[i].Column, i);
        _new = [.. _layout.Twins.Select(twin => twin.NewDecoder())];
        _old = [.. _layout.Columns.Select((column, i) => column.OldColumn is null ? null : _layout.Twins[i].NewDecoder())];
    }

    public IEnumerable<ReadOnlyMemory<byte>> Rows()
    {
        for (var i = 0; i < _file.FileMetaData.NumRowGroups; i++)
        {
            using var group = _file.RowGroup(i);
            var rows = ReadColumns(group);
            for (var row = 0; row < rows; row++)
                yield return NewTuple(row, ExceptionsOf(row));
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
                var kind = (EventKind)Letter(op, row);
                var old = oldKind.IsNull(row) ? OldTupleKind.None : (OldTupleKind)Letter(oldKind, row);
                var exceptions = ExceptionsOf(row);
                yield return new ChangeEvent(
                    new Lsn(unchecked((ulong)commitLsn[row])), new SourceTime(commitTime[row]), unchecked((ulong)xid[row]), seq[row],
                    kind, _layout.Shape.Number, _layout.Shape.Version, old,
                    old == OldTupleKind.None ? default : oldRaw.IsNull(row) ? OldTuple(row, exceptions) : oldRaw[row],
                    kind is EventKind.Insert or EventKind.Update or EventKind.Message ? NewTuple(row, exceptions) : default);
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

    Dictionary<string, byte[]>? ExceptionsOf(int row) =>
        _exceptions.IsNull(row) ? null : JsonText.ReadExceptions(_exceptions.Span(row));

    ReadOnlyMemory<byte> NewTuple(int row, Dictionary<string, byte[]>? exceptions)
    {
        var unchanged = _layout.Kind != SegmentKind.Changes || _unchanged.IsNull(row) ? null : UnchangedOf(row);
        _newTuple.Begin();
        for (var i = 0; i < _new.Length; i++)
            if (unchanged is not null && unchanged.Contains(i))
                _newTuple.Unchanged();
            else
                Append(_newTuple, _new[i], _layout.Columns[i].Column, row, exceptions);
        return _newTuple.EndMemory();
    }

    ReadOnlyMemory<byte> OldTuple(int row, Dictionary<string, byte[]>? exceptions)
    {
        _oldTuple.Begin();
        for (var i = 0; i < _old.Length; i++)
            if (_old[i] is { } decoder)
                Append(_oldTuple, decoder, _layout.Columns[i].OldColumn!, row, exceptions);
            else
                _oldTuple.Null();
        return _oldTuple.EndMemory();
    }

    static void Append(TupleWriter tuple, ColumnDecoder decoder, string column, int row, Dictionary<string, byte[]>? exceptions)
    {
        if (!decoder.IsNull(row))
            tuple.Text(decoder.Text(row));
        else if (exceptions is not null && exceptions.TryGetValue(column, out var exact))
            tuple.Text(exact);
        else
            tuple.Null();
    }

    HashSet<int> UnchangedOf(int row)
    {
        var columns = new HashSet<int>();
        foreach (var name in JsonText.ReadNames(_unchanged.Span(row)))
            columns.Add(_positions.TryGetValue(name, out var position)
                ? position
                : throw new FormatViolationException($"a row's _unchanged names '{name}', which is no column of its segment"));
        return columns;
    }

    static byte Letter(BytesColumn column, int row) => column.Span(row) is [var letter]
        ? letter
        : throw new FormatViolationException("a row's _op or _old_kind is not one letter");

    int IndexOf(string column) => _indexes.TryGetValue(column, out var index)
        ? index
        : throw new FormatViolationException($"a {_layout.Kind} segment of {_layout.Shape.FullName} has no column {column}");
}
