namespace CrmBackup.Cdc.Core;

/// <summary>What happened. The values are what log segments hold in their <c>op</c> column.</summary>
public enum EventKind : byte
{
    Insert = (byte)'I',
    Update = (byte)'U',
    Delete = (byte)'D',
    Truncate = (byte)'T',
    /// <summary>The table was rewritten by DDL: all rows before are void, the rows after follow as inserts of the same transaction.</summary>
    Rewrite = (byte)'W',
    /// <summary>A verified message of ours (DDL, mark, barrier); the new tuple holds prefix and content as two columns.</summary>
    Message = (byte)'M',
}

/// <summary>What the old tuple of an update or delete holds.</summary>
public enum OldTupleKind : byte
{
    None = 0,
    /// <summary>Only the replica identity's columns; the others stand as NULL and mean nothing.</summary>
    Key = (byte)'K',
    /// <summary>The whole row (replica identity FULL).</summary>
    Full = (byte)'O',
}

/// <summary>One event of the log, in commit order. The tuples are borrowed: valid until the reader moves on.</summary>
/// <param name="CommitLsn">End LSN of the transaction's commit.</param>
/// <param name="CommitTime">The commit's time on the source's clock.</param>
/// <param name="Xid">64-bit top-level transaction id (<c>pg_current_xact_id()</c>).</param>
/// <param name="Ordinal">Position in the transaction, from 0; counts row, truncate and message events.</param>
/// <param name="Relation">The vault's number of the relation; 0 for messages.</param>
/// <param name="Shape">The version of the relation's shape that the tuples follow; 0 for messages.</param>
public readonly record struct ChangeEvent(
    Lsn CommitLsn,
    SourceTime CommitTime,
    ulong Xid,
    int Ordinal,
    EventKind Kind,
    int Relation,
    int Shape,
    OldTupleKind OldKind,
    ReadOnlyMemory<byte> OldTuple,
    ReadOnlyMemory<byte> NewTuple);
