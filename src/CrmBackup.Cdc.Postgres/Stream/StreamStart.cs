using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Where the server begins to send.</summary>
/// <param name="Proves">The transaction that must come first; null when nothing need be, or can be, proven.</param>
public readonly record struct StreamBeginning(Lsn Lsn, Anchor? Proves);

/// <summary>Where a stream is to begin. <see cref="At"/> null: the vault is empty.</summary>
/// <param name="SystemIdentifier">Of the cluster that the vault belongs to; 0 when it has none yet.</param>
/// <param name="OwnPid">Of our walsender before, which may still be ending.</param>
/// <param name="CatalogSeen">Snapshot of the last look at the catalog that the archive judged.</param>
public sealed record StreamStart(ulong SystemIdentifier, Position? At, Guid? Incarnation, int? OwnPid, string? CatalogSeen = null)
{
    /// <summary>The newest transaction at or before <see cref="At"/>; null when the vault knows of none.</summary>
    public Anchor? Anchor { get; init; }

    /// <summary>True when the slot stands past the archive's position, and is the one that it followed: somebody moved it, or the archive asked
    /// long ago. If there is a gap, bases must wait for what had been committed before it ends and is not seen yet (rule 4).</summary>
    public bool IsPassedBy(Guid incarnation, Position slot) =>
        At is { } at && at.Timeline == slot.Timeline && at.Lsn < slot.Lsn && (Incarnation ?? incarnation) == incarnation;

    /// <summary>Exactly the archive's position, told from one transaction before it, which proves that it is the same history. Where the
    /// archive's position cannot be had, the slot's own, and the archive sees the gap.</summary>
    /// <param name="slot">Its name.</param>
    /// <param name="incarnation">Of the slot that is there now.</param>
    /// <param name="written">End of the source's WAL.</param>
    /// <exception cref="SourceBehindException">The source was set back, and has not come as far again.</exception>
    /// <exception cref="SlotLostException">The source was set back, or may have been.</exception>
    public (Position StartedAt, StreamBeginning Begins) Begin(string slot, Guid incarnation, Position slotAt, Lsn written)
    {
        if (At is not { } at || at.Timeline != slotAt.Timeline)
            return (slotAt, new StreamBeginning(slotAt.Lsn, null));
        if (written < at.Lsn)
            throw new SourceBehindException(at.Lsn);
        if (at.Lsn < slotAt.Lsn)
            return (slotAt, new StreamBeginning(slotAt.Lsn, null));
        if ((Incarnation ?? incarnation) != incarnation)
            return at == slotAt ? (slotAt, new StreamBeginning(slotAt.Lsn, null)) : throw Other($"its slot, at {slotAt.Lsn}, is not the one that the vault followed to {at.Lsn}");
        if (Anchor is not { } anchor)
            return (at, new StreamBeginning(at.Lsn, null));
        return slotAt.Lsn <= anchor.CommitRecord ? (at, new StreamBeginning(anchor.CommitRecord, anchor))
            : throw Other($"its slot was moved to {slotAt.Lsn}, past what would show that the source is what it was");

        SlotLostException Other(string what) => SlotLostException.OfOtherHistory(slot, new OtherHistoryException(what));
    }
}

/// <summary>The source is not what the vault is a backup of up to here: it was set back to an older copy of its files and has been written
/// on since, at the same LSNs. Or it cannot be shown that it was not.</summary>
public sealed class OtherHistoryException(string what) : BackupException(
    what, "Nothing is to be done: a new slot and new bases are made; what lies between is a gap.");

/// <summary>The source was set back to an older copy of its files. Nothing can be recorded of it at LSNs that the vault has used already.</summary>
public sealed class SourceBehindException(Lsn vault) : BackupException(
    $"the source was set back: its WAL ends before the vault's position {vault}; it is protected again when it has passed that",
    "SELECT pg_switch_wal() after a write brings it 16 MiB nearer. Or protect it with a new vault; this one keeps what the source has lost.");
