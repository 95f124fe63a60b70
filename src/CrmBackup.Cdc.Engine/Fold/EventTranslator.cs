using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Turns base rows and events of one relation into row operations of the working layout.</summary>
sealed class EventTranslator(WorkingLayout layout, Snapshot? newest, IRowOps ops)
{
    readonly KeyBuffer _key = new();
    readonly KeyBuffer _oldKey = new();
    readonly TupleWriter _filled = new();
    readonly TupleWriter _oldRow = new();
    readonly TupleWriter _toldOld = new();
    readonly TupleWriter _toldNew = new();
    RelationShape? _shape;
    TupleMap? _map;
    TupleConversion? _conversion;
    KeyColumns? _columns;

    public void Base(int shape, int chunk, ReadOnlySpan<byte> tuple)
    {
        Begin(shape);
        tuple = Told(tuple, _toldNew);
        ops.Apply(new RowOp
        {
            Kind = RowOpKind.Base,
            Chunk = chunk,
            Key = _columns is null ? default : _key.Of(tuple, _columns.InTuple),
            Row = _map!.ToRow(tuple),
        });
    }

    public void Event(in ChangeEvent change)
    {
        var strict = newest is null || !newest.Sees(change.Xid);
        if (change.Kind is EventKind.Truncate or EventKind.Rewrite)
        {
            if (change.Shape > 0)
                Begin(change.Shape);
            ops.Apply(new RowOp { Kind = RowOpKind.Void, Strict = strict, Commit = change.CommitLsn, Xid = change.Xid });
            return;
        }
        Begin(change.Shape);
        try
        {
            if (_columns is null)
                Keyless(change, strict);
            else
                Keyed(change, strict);
        }
        catch (FormatViolationException violation)
        {
            throw new FormatViolationException(
                $"{layout.Target.FullName}, transaction {change.Xid} at {change.CommitLsn}, event {change.Ordinal}: {violation.Message}", violation);
        }
    }

    void Begin(int version)
    {
        if (_shape?.Version == version)
            return;
        var shape = layout.Shape(version);
        if (_shape is null || _shape.Version < version)
            ops.Begin(shape);
        _shape = shape;
        _map = layout.MapOf(version);
        _conversion = layout.ConversionOf(version);
        _columns = shape.HasKey ? layout.KeyOf(shape) : null;
    }

    /// <summary>Keys, too, are those of the target: a label in a key may have been renamed since.</summary>
    ReadOnlySpan<byte> Told(ReadOnlySpan<byte> tuple, TupleWriter writer) =>
        _conversion is null || tuple.IsEmpty ? tuple : _conversion.Write(tuple, writer);

    void Keyed(in ChangeEvent change, bool strict)
    {
        var old = Told(change.OldTuple.Span, _toldOld);
        var fresh = Told(change.NewTuple.Span, _toldNew);
        if (change.OldKind == OldTupleKind.Full && !fresh.IsEmpty)
            fresh = Fill(fresh, old);
        var head = new RowOp { Strict = strict, Commit = change.CommitLsn, Xid = change.Xid };
        switch (change.Kind)
        {
            case EventKind.Insert:
                Send(head, RowOpKind.Put, _key.Of(fresh, _columns!.InTuple), _map!.ToRow(fresh));
                return;
            case EventKind.Delete:
                Send(head, RowOpKind.Remove, _key.Of(old, _columns!.InTuple), default);
                return;
            case EventKind.Update when old.IsEmpty:
                Send(head, RowOpKind.Set, _key.Of(fresh, _columns!.InTuple), _map!.ToRow(fresh));
                return;
            case EventKind.Update:
                var key = _key.Of(fresh, _columns!.InTuple, old);
                var oldKey = _oldKey.Of(old, _columns.InTuple);
                // A key that was too long to be carried again stands in the old tuple.
                var row = _map!.ToRow(HasUnchangedKey(fresh) ? FillKey(fresh, old) : fresh);
                if (key.SequenceEqual(oldKey))
                    Send(head, RowOpKind.Set, key, row);
                else if (HasUnchanged(row))
                    Send(head, RowOpKind.Move, key, row, oldKey);
                else
                {
                    Send(head, RowOpKind.Remove, oldKey, default);
                    Send(head, RowOpKind.Put, key, row);
                }
                return;
            default:
                throw new FormatViolationException($"an event of the unknown kind {change.Kind}");
        }
    }

    void Keyless(in ChangeEvent change, bool strict)
    {
        var old = Told(change.OldTuple.Span, _toldOld);
        var fresh = Told(change.NewTuple.Span, _toldNew);
        var head = new RowOp { Strict = strict, Commit = change.CommitLsn, Xid = change.Xid };
        if (change.Kind is EventKind.Update or EventKind.Delete)
        {
            if (change.OldKind != OldTupleKind.Full)
                throw new FormatViolationException("a table without a key needs the whole old row");
            var removed = _map!.ToRow(old);
            if (HasUnchanged(removed))
                throw new FormatViolationException("an old row lacks values");
            Send(head, RowOpKind.Remove, default, removed);
        }
        if (change.Kind is EventKind.Update)
            fresh = Fill(fresh, old);
        if (change.Kind is EventKind.Update or EventKind.Insert)
        {
            var row = _map!.ToRow(fresh);
            if (HasUnchanged(row))
                throw new FormatViolationException("a new row lacks values, and no old one has them");
            Send(head, RowOpKind.Put, default, row);
        }
    }

    void Send(in RowOp head, RowOpKind kind, ReadOnlySpan<byte> key, ReadOnlySpan<byte> row, ReadOnlySpan<byte> oldKey = default) =>
        ops.Apply(new RowOp
        {
            Kind = kind,
            Strict = head.Strict,
            Commit = head.Commit,
            Xid = head.Xid,
            Key = key,
            Row = row,
            OldKey = oldKey,
        });

    bool HasUnchangedKey(ReadOnlySpan<byte> tuple)
    {
        var reader = new TupleReader(tuple);
        for (var i = 0; i < reader.Count; i++)
            if (reader.Next(out _) == ColumnState.Unchanged && _columns!.InTuple.Contains(i))
                return true;
        return false;
    }

    ReadOnlySpan<byte> FillKey(ReadOnlySpan<byte> tuple, ReadOnlySpan<byte> old)
    {
        var reader = new TupleReader(tuple);
        var past = new TupleReader(old);
        _oldRow.Begin();
        for (var i = 0; i < reader.Count; i++)
        {
            var state = reader.Next(out var text);
            var oldState = past.Next(out var oldText);
            if (state == ColumnState.Unchanged && _columns!.InTuple.Contains(i))
                _oldRow.Column(oldState, oldText);
            else
                _oldRow.Column(state, text);
        }
        return _oldRow.End();
    }

    ReadOnlySpan<byte> Fill(ReadOnlySpan<byte> tuple, ReadOnlySpan<byte> past) => Rows.Fill(_filled, tuple, past);

    static bool HasUnchanged(ReadOnlySpan<byte> row) => Rows.HasUnchanged(row);
}

/// <summary>Working rows and tuples: the two questions that all folding asks.</summary>
static class Rows
{
    public static bool HasUnchanged(ReadOnlySpan<byte> row)
    {
        var reader = new TupleReader(row);
        for (var i = 0; i < reader.Count; i++)
            if (reader.Next(out _) == ColumnState.Unchanged)
                return true;
        return false;
    }

    /// <summary>The row with the columns it does not carry taken from its past; valid until the writer is used again.</summary>
    public static ReadOnlySpan<byte> Fill(TupleWriter writer, ReadOnlySpan<byte> row, ReadOnlySpan<byte> past)
    {
        if (!HasUnchanged(row))
            return row;
        var reader = new TupleReader(row);
        var old = new TupleReader(past);
        if (reader.Count != old.Count)
            throw new FormatViolationException($"a row has {reader.Count} columns, its past has {old.Count}");
        writer.Begin();
        for (var i = 0; i < reader.Count; i++)
        {
            var state = reader.Next(out var text);
            var oldState = old.Next(out var oldText);
            if (state == ColumnState.Unchanged)
                writer.Column(oldState, oldText);
            else
                writer.Column(state, text);
        }
        return writer.End();
    }
}
