using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What the archive loop waits for. Everything comes through one bounded channel, so that one thread decides.</summary>
abstract record ArchiveInput
{
    /// <summary>A block of the stream lane. The loop disposes it.</summary>
    public sealed record Stream(Delivery Delivery) : ArchiveInput;

    /// <summary>A base chunk was read; its rows stand in a segment that no commit names yet.</summary>
    public sealed record ChunkRead(
        ulong Order, BaseChunk Chunk, SegmentEntry? Segment, CatalogTable Table, Position Barrier) : ArchiveInput;

    /// <summary>A schema dump came whole.</summary>
    public sealed record SchemaRead(ulong Order, IReadOnlyDictionary<string, byte[]> Files, SchemaDumped Answer) : ArchiveInput;

    /// <summary>What the vault knows of a table that is to be repaired.</summary>
    /// <param name="Rows">Null: it cannot be folded, and <paramref name="Why"/> says why.</param>
    public sealed record PastFolded(BasePlanner.Base Base, PastRows? Rows, string Why = "") : ArchiveInput;

    public sealed record Failed(ulong Order, OrderFailed Answer) : ArchiveInput;

    /// <summary>Settled segments, checked, waiting for their commit.</summary>
    public sealed record Settled(CommitContent Content, TaskCompletionSource Committed) : ArchiveInput;
}
