using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Folds in memory. Where a table's identity changed on the way, its rows are keyed anew at each of its shapes.</summary>
sealed class MemoryFold(WorkingLayout layout, IReadOnlyList<Snapshot> snapshots) : IRowOps
{
    readonly TupleWriter _writer = new();
    KeyedRows? _keyed;
    KeylessRows? _keyless;

    public long Bytes => _keyed?.Bytes ?? _keyless?.Bytes ?? 0;

    public void Begin(RelationShape shape)
    {
        if (_keyed is null && _keyless is null)
            (_keyed, _keyless) = Empty(shape);
        else if (layout.Eras.Count > 1)
            Rekey(shape);
    }

    public void Apply(in RowOp op)
    {
        if (_keyed is not null)
            _keyed.Apply(op);
        else if (_keyless is not null)
            _keyless.Apply(op);
        else
            Invariant.Holds(op.Kind == RowOpKind.Void, "a row came before its shape");
    }

    /// <summary>Every row of the end, in the working layout, in no order.</summary>
    public IEnumerable<byte[]> Finish()
    {
        if (_keyed is not null)
            foreach (var (_, row) in _keyed.Finish())
                yield return row;
        if (_keyless is not null)
            foreach (var (row, times) in _keyless.Finish())
                for (var i = 0L; i < times; i++)
                    yield return row;
    }

    (KeyedRows?, KeylessRows?) Empty(RelationShape shape) =>
        shape.HasKey ? (new KeyedRows(snapshots, shape.FullName), null) : (null, new KeylessRows());

    /// <summary>No event that a chunk has seen can follow a change of shape: the change waited for every writer.</summary>
    void Rekey(RelationShape shape)
    {
        var (keyed, keyless) = Empty(shape);
        var vanished = layout.Vanished(shape);
        var columns = shape.HasKey ? layout.KeyOf(shape).InRow : [];
        var key = new KeyBuffer();
        foreach (var row in Finish())
        {
            var kept = Without(row, vanished);
            if (keyed is not null)
                keyed.Load(key.Of(kept, columns).ToArray(), kept);
            else
                keyless!.Add(kept, 1);
        }
        (_keyed, _keyless) = (keyed, keyless);
    }

    byte[] Without(byte[] row, bool[] vanished)
    {
        if (!vanished.Contains(true))
            return row;
        var reader = new TupleReader(row);
        _writer.Begin();
        for (var i = 0; i < reader.Count; i++)
        {
            var state = reader.Next(out var text);
            if (vanished[i])
                _writer.Null();
            else
                _writer.Column(state, text);
        }
        return _writer.End().ToArray();
    }
}
