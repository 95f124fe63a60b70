using CrmBackup.Cdc.Core;
using ParquetSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>Turns buffered rows into the columns of one row group. The tuples must stand in pinned memory until <see cref="Write"/>.
/// Its memory lives as long as one row group takes.</summary>
sealed class RowGroupEncoder : IDisposable
{
    readonly TableLayout _layout;
    readonly ColumnEncoder[] _new;
    readonly ColumnEncoder?[] _old;
    readonly byte[][] _names;
    readonly byte[]?[] _oldNames;
    readonly ByteArena _arena = new();
    readonly JsonText _exceptions = new();
    readonly JsonText _unchanged = new();
    readonly ColumnBuilder<ByteArray> _op = new(nullable: false);
    readonly ColumnBuilder<long> _commitLsn = new(nullable: false);
    readonly ColumnBuilder<long> _commitTime = new(nullable: false);
    readonly ColumnBuilder<long> _xid = new(nullable: false);
    readonly ColumnBuilder<int> _seq = new(nullable: false);
    readonly ColumnBuilder<ByteArray> _unchangedNames = new(nullable: true);
    readonly ColumnBuilder<ByteArray> _oldKind = new(nullable: true);
    readonly ColumnBuilder<ByteArray> _oldRaw = new(nullable: true);
    readonly ColumnBuilder<ByteArray> _exceptionTexts = new(nullable: true);
    readonly ColumnBuilder<long> _row = new(nullable: false);

    public RowGroupEncoder(TableLayout layout)
    {
        _layout = layout;
        _new = [.. layout.Twins.Select(twin => twin.NewEncoder())];
        _old = [.. layout.Columns.Select((column, i) => column.OldColumn is null ? null : layout.Twins[i].NewEncoder())];
        _names = [.. layout.Columns.Select(column => System.Text.Encoding.UTF8.GetBytes(column.Column))];
        _oldNames = [.. layout.Columns.Select(column => column.OldColumn is { } old ? System.Text.Encoding.UTF8.GetBytes(old) : null)];
    }

    public void AddRow(ReadOnlyMemory<byte> tuple, long number)
    {
        _exceptions.Begin();
        _unchanged.Begin();
        AddNew(tuple);
        if (!_unchanged.IsEmpty)
            throw new FormatViolationException($"a base row of {_layout.Shape.FullName} has an unchanged column");
        AddOptional(_exceptionTexts, _exceptions);
        if (_layout.NumbersRows)
            _row.Add(number);
    }

    public void AddEvent(in ChangeEvent change)
    {
        _exceptions.Begin();
        _unchanged.Begin();
        _op.Add(Letter((byte)change.Kind));
        _commitLsn.Add(unchecked((long)change.CommitLsn.Value));
        _commitTime.Add(change.CommitTime.UnixMicroseconds);
        _xid.Add(unchecked((long)change.Xid));
        _seq.Add(change.Ordinal);
        AddNew(change.NewTuple);
        AddOptional(_unchangedNames, _unchanged);
        AddOld(change);
        AddOptional(_exceptionTexts, _exceptions);
    }

    public void Write(RowGroupWriter group)
    {
        foreach (var column in _new)
            column.Write(group);
        if (_layout.Kind == SegmentKind.Changes)
        {
            _op.Write(group);
            _commitLsn.Write(group);
            _commitTime.Write(group);
            _xid.Write(group);
            _seq.Write(group);
            _unchangedNames.Write(group);
            _oldKind.Write(group);
            foreach (var column in _old)
                column?.Write(group);
            _oldRaw.Write(group);
        }
        _exceptionTexts.Write(group);
        if (_layout.NumbersRows)
            _row.Write(group);
    }

    public void Dispose()
    {
        foreach (var column in (IEnumerable<IDisposable?>)[
            .. _new, .. _old, _op, _commitLsn, _commitTime, _xid, _seq, _unchangedNames, _oldKind, _oldRaw, _exceptionTexts, _row])
            column?.Dispose();
    }

    void AddNew(ReadOnlyMemory<byte> tuple)
    {
        if (tuple.IsEmpty)
        {
            foreach (var column in _new)
                column.AddNull();
            return;
        }
        var reader = new TupleReader(tuple.Span);
        if (reader.Count != _new.Length)
            throw new FormatViolationException(
                $"a tuple of {_layout.Shape.FullName} has {reader.Count} columns, its shape {_layout.Shape.Version} has {_new.Length}");
        var start = ByteArena.Address(tuple);
        for (var i = 0; i < _new.Length; i++)
        {
            var state = reader.Next(out var text);
            if (state == ColumnState.Unchanged)
                _unchanged.AddName(_names[i]);
            AddValue(_new[i], _names[i], state, text, start + reader.Consumed - text.Length);
        }
    }

    void AddOld(in ChangeEvent change)
    {
        var tuple = change.OldTuple;
        if (change.OldKind == OldTupleKind.None)
            _oldKind.AddNull();
        else
            _oldKind.Add(Letter((byte)change.OldKind));
        var typed = !tuple.IsEmpty && IsTyped(tuple.Span);
        if (tuple.IsEmpty || typed)
            _oldRaw.AddNull();
        else
            _oldRaw.Add(new ByteArray(ByteArena.Address(tuple), tuple.Length));
        if (!typed)
        {
            foreach (var column in _old)
                column?.AddNull();
            return;
        }
        var reader = new TupleReader(tuple.Span);
        var start = ByteArena.Address(tuple);
        for (var i = 0; i < _old.Length; i++)
        {
            var state = reader.Next(out var text);
            if (_old[i] is { } column)
                AddValue(column, _oldNames[i]!, state, text, start + reader.Consumed - text.Length);
        }
    }

    /// <summary>The old key's columns say all of the old tuple; else it is kept as it came.</summary>
    bool IsTyped(ReadOnlySpan<byte> tuple)
    {
        var reader = new TupleReader(tuple);
        if (reader.Count != _old.Length)
            return false;
        for (var i = 0; i < _old.Length; i++)
            if (reader.Next(out _) is var state && state != ColumnState.Null && (_old[i] is null || state == ColumnState.Unchanged))
                return false;
        return true;
    }

    void AddValue(ColumnEncoder column, byte[] name, ColumnState state, ReadOnlySpan<byte> text, nint address)
    {
        if (state == ColumnState.Text && column.TryAdd(text, address))
            return;
        column.AddNull();
        if (state == ColumnState.Text)
            _exceptions.AddException(name, text);
    }

    void AddOptional(ColumnBuilder<ByteArray> column, JsonText json)
    {
        if (json.IsEmpty)
        {
            column.AddNull();
            return;
        }
        var kept = _arena.Add(json.End());
        column.Add(new ByteArray(ByteArena.Address(kept), kept.Length));
    }

    static ByteArray Letter(byte letter) => new(ByteArena.Address(Letters.AsMemory(letter, 1)), 1);

    static readonly byte[] Letters = PinnedLetters();

    static byte[] PinnedLetters()
    {
        var letters = GC.AllocateUninitializedArray<byte>(128, pinned: true);
        for (var i = 0; i < letters.Length; i++)
            letters[i] = (byte)i;
        return letters;
    }
}
