namespace CrmBackup.Cdc.Core;

/// <summary>The newest transaction that the vault holds. The stream begins with it once more: a source that has it at the same place, and
/// nothing between it and the vault's end, has the history that the vault holds. A source that was set back and written on has not,
/// whatever LSNs it has reached.</summary>
/// <param name="CommitRecord">Start of its commit record: the slot stays here, so that the server can send it again.</param>
/// <param name="Xid">64-bit.</param>
public sealed record Anchor(Lsn CommitRecord, Lsn End, ulong Xid, SourceTime Time);
