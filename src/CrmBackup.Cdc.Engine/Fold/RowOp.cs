using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

enum RowOpKind : byte
{
    /// <summary>A row of the base, as chunk <see cref="RowOp.Chunk"/> saw it.</summary>
    Base = 1,
    /// <summary>A row comes into being under its key.</summary>
    Put,
    /// <summary>The row under the key gets new columns; those not carried stay.</summary>
    Set,
    /// <summary>The row under the old key goes to the key, and its columns not carried with it.</summary>
    Move,
    Remove,
    /// <summary>All rows before are void.</summary>
    Void,
}

/// <summary>What an event does to the rows, in the working layout. The spans are borrowed: valid for the call.</summary>
/// <remarks>Keyless tables use Base, Put, Remove and Void only, with an empty key: the row is the key.</remarks>
readonly ref struct RowOp
{
    public RowOpKind Kind { get; init; }
    /// <summary>No chunk of the base has seen it: the row it means must be there.</summary>
    public bool Strict { get; init; }
    public Lsn Commit { get; init; }
    public ulong Xid { get; init; }
    public int Chunk { get; init; }
    public ReadOnlySpan<byte> Key { get; init; }
    public ReadOnlySpan<byte> OldKey { get; init; }
    public ReadOnlySpan<byte> Row { get; init; }
}

/// <summary>Takes the operations in order: rows in memory, or partitions on disk.</summary>
interface IRowOps
{
    /// <summary>Rows and events from here on have this shape or a newer one.</summary>
    void Begin(RelationShape shape);

    void Apply(in RowOp op);
}
