using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Where a stream is to begin. <see cref="At"/> null: the vault is empty.</summary>
/// <param name="SystemIdentifier">Of the cluster that the vault belongs to; 0 when it has none yet.</param>
/// <param name="OwnPid">Of our walsender before, which may still be ending.</param>
/// <param name="CatalogSeen">Snapshot of the last look at the catalog that the archive judged.</param>
public sealed record StreamStart(ulong SystemIdentifier, Position? At, Guid? Incarnation, int? OwnPid, string? CatalogSeen = null)
{
    /// <exception cref="RefusedException">Another cluster.</exception>
    public void RefuseOther(ulong systemIdentifier)
    {
        if (SystemIdentifier != 0 && SystemIdentifier != systemIdentifier)
            throw new RefusedException(
                $"the source is the cluster {systemIdentifier}, the vault belongs to {SystemIdentifier}",
                "Give the source that this vault was made for, or make a new vault with 'crmbackup init'.");
    }

    /// <summary>Exactly the archive's position: from a lower one the server silently forwards, to a higher one it silently skips. Where
    /// the archive's position cannot be had, the slot's own, and the archive sees the gap.</summary>
    /// <param name="incarnation">Of the slot that is there now.</param>
    /// <param name="written">End of the source's WAL.</param>
    /// <exception cref="RefusedException">The source was set back.</exception>
    public Position Begin(Guid incarnation, Position slot, Lsn written)
    {
        var begin = At is { } at && at.Timeline == slot.Timeline && at.Lsn >= slot.Lsn && (Incarnation ?? incarnation) == incarnation ? at : slot;
        return begin.Lsn <= written ? begin : throw new RefusedException(
            $"the source's WAL ends at {written}, before the vault's position {begin}: the source was set back",
            "Was it restored from a copy of its files? Protect it with a new vault; this one keeps what the source has lost.");
    }
}
