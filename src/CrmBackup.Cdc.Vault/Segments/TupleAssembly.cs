using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>The canonical texts of one column of the row group at hand.</summary>
abstract class ColumnTexts
{
    public abstract bool IsNull(int row);

    /// <summary>The text of a value that is not NULL; valid until the next call.</summary>
    public abstract ReadOnlySpan<byte> Text(int row);
}

/// <summary>The columns of a row group of a table segment, however they were read, back into tuples.</summary>
sealed class TupleAssembly
{
    readonly TableLayout _layout;
    readonly ColumnTexts[] _new;
    readonly ColumnTexts?[] _old;
    readonly ColumnTexts _exceptions;
    readonly ColumnTexts? _unchanged;
    readonly Dictionary<string, int> _positions = [];
    readonly TupleWriter _newTuple = new();
    readonly TupleWriter _oldTuple = new();
    Dictionary<string, byte[]>? _exact;

    /// <param name="new">Per column of the layout.</param>
    /// <param name="old">Per column of the layout; null where it has no old column.</param>
    /// <param name="unchanged">Null in base segments.</param>
    public TupleAssembly(
        TableLayout layout, IEnumerable<ColumnTexts> @new, IEnumerable<ColumnTexts?> old, ColumnTexts exceptions, ColumnTexts? unchanged)
    {
        (_layout, _new, _old, _exceptions, _unchanged) = (layout, [.. @new], [.. old], exceptions, unchanged);
        for (var i = 0; i < layout.Columns.Count; i++)
            _positions.Add(layout.Columns[i].Column, i);
    }

    /// <summary>The tuples of a row: whichever an event of this kind has. Valid until the next row.</summary>
    /// <param name="oldRaw">The old tuple as it came, where typed columns could not say it.</param>
    public (ReadOnlyMemory<byte> Old, ReadOnlyMemory<byte> New) Tuples(
        int row, EventKind kind, OldTupleKind oldKind, ReadOnlyMemory<byte> oldRaw)
    {
        BeginRow(row);
        return (
            oldKind == OldTupleKind.None ? default : oldRaw.IsEmpty ? Old(row) : oldRaw,
            kind is EventKind.Insert or EventKind.Update or EventKind.Message ? New(row) : default);
    }

    public ReadOnlyMemory<byte> BaseTuple(int row)
    {
        BeginRow(row);
        return New(row);
    }

    void BeginRow(int row) => _exact = _exceptions.IsNull(row) ? null : JsonText.ReadExceptions(_exceptions.Text(row));

    ReadOnlyMemory<byte> New(int row)
    {
        var unchanged = _unchanged is null || _unchanged.IsNull(row) ? null : UnchangedOf(_unchanged.Text(row));
        _newTuple.Begin();
        for (var i = 0; i < _new.Length; i++)
            if (unchanged is not null && unchanged.Contains(i))
                _newTuple.Unchanged();
            else
                Append(_newTuple, _new[i], _layout.Columns[i].Column, row);
        return _newTuple.EndMemory();
    }

    ReadOnlyMemory<byte> Old(int row)
    {
        _oldTuple.Begin();
        for (var i = 0; i < _old.Length; i++)
            if (_old[i] is { } column)
                Append(_oldTuple, column, _layout.Columns[i].OldColumn!, row);
            else
                _oldTuple.Null();
        return _oldTuple.EndMemory();
    }

    void Append(TupleWriter tuple, ColumnTexts column, string name, int row)
    {
        if (!column.IsNull(row))
            tuple.Text(column.Text(row));
        else if (_exact is not null && _exact.TryGetValue(name, out var exact))
            tuple.Text(exact);
        else
            tuple.Null();
    }

    HashSet<int> UnchangedOf(ReadOnlySpan<byte> json)
    {
        var columns = new HashSet<int>();
        foreach (var name in JsonText.ReadNames(json))
            columns.Add(_positions.TryGetValue(name, out var position)
                ? position
                : throw new FormatViolationException($"a row's _unchanged names '{name}', which is no column of its segment"));
        return columns;
    }
}
