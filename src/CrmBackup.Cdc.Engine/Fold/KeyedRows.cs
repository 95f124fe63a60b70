using System.Runtime.InteropServices;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>The rows of a table with a key while events are replayed over its base.
/// <para>Chunks of a base have different snapshots, and what is replayed is everything that the oldest has not seen. So the row that a
/// younger chunk saw waits beside the row as it was (<see cref="Waiting"/>), and takes its place before the first event that its own
/// snapshot has not seen. Until then events go to the row as it was, which is what columns not carried are filled from.</para></summary>
/// <param name="snapshots">Of the chunks, by age.</param>
/// <param name="table">Its name, for errors.</param>
sealed class KeyedRows(IReadOnlyList<Snapshot> snapshots, string table)
{
    /// <summary>What an entry costs beside its bytes, about.</summary>
    const int EntryOverhead = 120;

    readonly Dictionary<byte[], Entry> _rows = new(BytesComparer.Instance);
    readonly Dictionary<byte[], Queue<byte[]>> _displaced = new(BytesComparer.Instance);
    readonly TupleWriter _writer = new();
    Lsn _transaction;
    KeyTwiceException? _twice;

    struct Entry
    {
        public byte[]? Row;
        public Waiting? Next;
    }

    sealed record Waiting(byte[] Row, int Chunk, Waiting? Next);

    /// <summary>About what the rows weigh in memory.</summary>
    public long Bytes { get; private set; }

    public void Apply(in RowOp op)
    {
        if (op.Commit != _transaction)
            EndTransaction(op.Commit);
        switch (op.Kind)
        {
            case RowOpKind.Base:
                AddBase(op);
                break;
            case RowOpKind.Put:
                Put(op, op.Row.ToArray());
                break;
            case RowOpKind.Set:
                Set(op);
                break;
            case RowOpKind.Move:
                var row = Take(op, op.OldKey) is { } past ? Rows.Fill(_writer, op.Row, past).ToArray() : op.Row.ToArray();
                Put(op, row);
                break;
            case RowOpKind.Remove:
                Take(op, op.Key);
                break;
            case RowOpKind.Void:
                Void(op);
                break;
            default:
                throw new InvalidOperationException($"unknown operation {op.Kind}");
        }
    }

    /// <summary>Every row, after the last event.</summary>
    /// <exception cref="KeyTwiceException">The base held a key twice, and nothing has emptied the table since.</exception>
    public IEnumerable<(byte[] Key, byte[] Row)> Finish()
    {
        EndTransaction(Lsn.None);
        if (_twice is not null)
            throw _twice;
        foreach (var (key, entry) in _rows)
        {
            var row = entry.Row;
            for (var waiting = entry.Next; waiting is not null; waiting = waiting.Next)
                row = waiting.Row;
            yield return (key, row!);
        }
    }

    public void Load(byte[] key, byte[] row)
    {
        if (!_rows.TryAdd(key, new Entry { Row = row }))
            throw new FormatViolationException($"the key {KeyBuffer.Describe(key)} stands for two rows");
        Bytes += key.Length + row.Length + EntryOverhead;
    }

    void AddBase(in RowOp op)
    {
        ref var entry = ref Find(op.Key, add: true);
        var row = op.Row.ToArray();
        Bytes += row.Length;
        if (Snapshot.CompareAge(snapshots[op.Chunk], snapshots[0]) == 0)
        {
            if (entry.Row is not null || entry.Next is not null)
                _twice ??= new KeyTwiceException(table, KeyBuffer.Describe(op.Key));
            entry.Row = row;
            return;
        }
        Bytes += 40;
        entry.Next = Append(entry.Next, row, op);
    }

    Waiting Append(Waiting? waiting, byte[] row, in RowOp op)
    {
        if (waiting is null)
            return new Waiting(row, op.Chunk, null);
        if (waiting.Chunk == op.Chunk)
        {
            _twice ??= new KeyTwiceException(table, KeyBuffer.Describe(op.Key));
            return waiting with { Row = row };
        }
        return waiting with { Next = Append(waiting.Next, row, op) };
    }

    void Put(in RowOp op, byte[] row)
    {
        ref var entry = ref Find(op.Key, add: true);
        Promote(ref entry, op.Xid);
        if (entry.Row is { } there && op.Strict)
        {
            // Two rows under one key, allowed inside a transaction where the key is checked late: the older one must leave before its end.
            var key = op.Key.ToArray();
            if (!_displaced.TryGetValue(key, out var queue))
                _displaced[key] = queue = [];
            queue.Enqueue(there);
        }
        Replace(ref entry, row);
    }

    void Set(in RowOp op)
    {
        ref var entry = ref Find(op.Key, add: true);
        Promote(ref entry, op.Xid);
        if (entry.Row is null && op.Strict)
            throw new FormatViolationException($"the row with the key {KeyBuffer.Describe(op.Key)} is not there");
        Replace(ref entry, (entry.Row is null ? op.Row : Rows.Fill(_writer, op.Row, entry.Row)).ToArray());
    }

    /// <summary>Removes the row under a key and gives it; null when it is not there and need not be.</summary>
    byte[]? Take(in RowOp op, ReadOnlySpan<byte> key)
    {
        if (_displaced.Count > 0 && _displaced.TryGetValue(key.ToArray(), out var queue))
        {
            var displaced = queue.Dequeue();
            if (queue.Count == 0)
                _displaced.Remove(key.ToArray());
            return displaced;
        }
        ref var entry = ref Find(key, add: false);
        if (!System.Runtime.CompilerServices.Unsafe.IsNullRef(ref entry))
        {
            Promote(ref entry, op.Xid);
            var row = entry.Row;
            Replace(ref entry, null);
            if (entry.Next is null)
                Remove(key);
            if (row is not null)
                return row;
        }
        return op.Strict
            ? throw new FormatViolationException($"the row with the key {KeyBuffer.Describe(key)} is not there") : null;
    }

    void Void(in RowOp op)
    {
        foreach (var key in _rows.Keys.ToList())
        {
            ref var entry = ref Find(key, add: false);
            Promote(ref entry, op.Xid);
            Replace(ref entry, null);
            if (entry.Next is null)
                Remove(key);
        }
        _displaced.Clear();
        if (_rows.Count == 0)
            _twice = null;
    }

    /// <summary>The rows that waited and whose snapshot has not seen the event are the state before it.</summary>
    void Promote(ref Entry entry, ulong xid)
    {
        while (entry.Next is { } waiting && !snapshots[waiting.Chunk].Sees(xid))
        {
            Bytes -= (entry.Row?.Length ?? 0) + 40;
            entry.Row = waiting.Row;
            entry.Next = waiting.Next;
        }
    }

    void Replace(ref Entry entry, byte[]? row)
    {
        Bytes += (row?.Length ?? 0) - (entry.Row?.Length ?? 0);
        entry.Row = row;
    }

    ref Entry Find(ReadOnlySpan<byte> key, bool add)
    {
        var rows = _rows.GetAlternateLookup<ReadOnlySpan<byte>>();
        if (!add)
            return ref CollectionsMarshal.GetValueRefOrNullRef(rows, key);
        ref var entry = ref CollectionsMarshal.GetValueRefOrAddDefault(rows, key, out var exists);
        if (!exists)
            Bytes += key.Length + EntryOverhead;
        return ref entry;
    }

    void Remove(ReadOnlySpan<byte> key)
    {
        _rows.GetAlternateLookup<ReadOnlySpan<byte>>().Remove(key);
        Bytes -= key.Length + EntryOverhead;
    }

    void EndTransaction(Lsn next)
    {
        if (_displaced.Count > 0)
            throw new FormatViolationException($"the transaction at {_transaction} leaves two rows with the key "
                + KeyBuffer.Describe(_displaced.Keys.First()));
        _transaction = next;
    }
}
