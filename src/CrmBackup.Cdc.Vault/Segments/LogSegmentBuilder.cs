using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Gathers events in columns until they become a log segment. The rows of the open transaction lack commit LSN and time until
/// <see cref="CompleteTransaction"/>. Reusable; not thread-safe.</summary>
public sealed class LogSegmentBuilder
{
    /// <summary>What a row costs beside its tuples, about: eight numbers.</summary>
    const int RowOverhead = 44;

    internal long[] CommitLsns = new long[1024];
    internal long[] CommitTimes = new long[1024];
    internal long[] Xids = new long[1024];
    internal int[] Ordinals = new int[1024];
    internal int[] Ops = new int[1024];
    internal int[] Relations = new int[1024];
    internal int[] Shapes = new int[1024];
    internal int[] OldKinds = new int[1024];
    internal ReadOnlyMemory<byte>[] OldTuples = new ReadOnlyMemory<byte>[1024];
    internal ReadOnlyMemory<byte>[] NewTuples = new ReadOnlyMemory<byte>[1024];
    ByteArena _arena = new();
    ByteArena _spare = new();

    public int Rows { get; private set; }

    /// <summary>Rows of complete transactions: what can be written now.</summary>
    public int CompleteRows { get; private set; }

    /// <summary>About what the rows weigh before encoding.</summary>
    public long Bytes { get; private set; }

    /// <summary>Copies the tuples. A tuple that is absent is empty.</summary>
    /// <returns>The row's index.</returns>
    public int Add(
        EventKind kind, int relation, int shape, ulong xid, int ordinal,
        OldTupleKind oldKind, ReadOnlySpan<byte> oldTuple, ReadOnlySpan<byte> newTuple)
    {
        if (Rows == CommitLsns.Length)
            Grow();
        var row = Rows++;
        CommitLsns[row] = 0;
        CommitTimes[row] = 0;
        Xids[row] = unchecked((long)xid);
        Ordinals[row] = ordinal;
        Ops[row] = (int)kind;
        Relations[row] = relation;
        Shapes[row] = shape;
        OldKinds[row] = (int)oldKind;
        OldTuples[row] = _arena.Add(oldTuple);
        NewTuples[row] = _arena.Add(newTuple);
        Bytes += Weight(row);
        return row;
    }

    /// <summary>Gives the rows from <paramref name="firstRow"/> on their commit; they must be one transaction's, the last in the builder.</summary>
    public void CompleteTransaction(int firstRow, Lsn end, SourceTime time)
    {
        Invariant.Holds(firstRow == CompleteRows, "a transaction was completed that does not follow the last complete one");
        Invariant.Holds(!end.IsNone, "a transaction ends at no position");
        Array.Fill(CommitLsns, unchecked((long)end.Value), firstRow, Rows - firstRow);
        Array.Fill(CommitTimes, time.UnixMicroseconds, firstRow, Rows - firstRow);
        CompleteRows = Rows;
    }

    /// <summary>Drops the rows from <paramref name="row"/> on: an open transaction that will be read again.</summary>
    public void TruncateTo(int row)
    {
        Invariant.Holds(row >= 0 && row <= Rows, "a builder was truncated to rows it does not have");
        for (var i = row; i < Rows; i++)
        {
            Bytes -= Weight(i);
            OldTuples[i] = NewTuples[i] = default;
        }
        Rows = row;
        CompleteRows = Math.Min(CompleteRows, row);
        if (row == 0)
            _arena.Clear();
    }

    /// <summary>Drops the first rows, after they have been written. The others move to the front.</summary>
    public void DropFirst(int rows)
    {
        Invariant.Holds(rows >= 0 && rows <= CompleteRows, "rows were dropped that had not been complete");
        var left = Rows - rows;
        foreach (var column in new Array[] { CommitLsns, CommitTimes, Xids, Ordinals, Ops, Relations, Shapes, OldKinds })
            Array.Copy(column, rows, column, 0, left);
        for (var row = 0; row < rows; row++)
            Bytes -= Weight(row);
        for (var row = 0; row < left; row++)
        {
            OldTuples[row] = _spare.Add(OldTuples[row + rows].Span);
            NewTuples[row] = _spare.Add(NewTuples[row + rows].Span);
        }
        Array.Clear(OldTuples, left, rows);
        Array.Clear(NewTuples, left, rows);
        _arena.Clear();
        (_arena, _spare) = (_spare, _arena);
        Rows = left;
        CompleteRows -= rows;
    }

    /// <summary>The event of a row; valid until the builder changes.</summary>
    public ChangeEvent this[int row] => new(
        new Lsn(unchecked((ulong)CommitLsns[row])), new SourceTime(CommitTimes[row]), unchecked((ulong)Xids[row]), Ordinals[row],
        (EventKind)Ops[row], Relations[row], Shapes[row], (OldTupleKind)OldKinds[row], OldTuples[row], NewTuples[row]);

    internal int Weight(int row) => RowOverhead + OldTuples[row].Length + NewTuples[row].Length;

    void Grow()
    {
        var size = CommitLsns.Length * 2;
        Array.Resize(ref CommitLsns, size);
        Array.Resize(ref CommitTimes, size);
        Array.Resize(ref Xids, size);
        Array.Resize(ref Ordinals, size);
        Array.Resize(ref Ops, size);
        Array.Resize(ref Relations, size);
        Array.Resize(ref Shapes, size);
        Array.Resize(ref OldKinds, size);
        Array.Resize(ref OldTuples, size);
        Array.Resize(ref NewTuples, size);
    }
}
