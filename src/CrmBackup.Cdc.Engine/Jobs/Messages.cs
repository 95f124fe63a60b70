namespace CrmBackup.Cdc.Engine;

// What travels between archive, workers and onlookers. Positions and documents travel as the text that they have in the vault's own JSON.

/// <summary>A job for any worker of the vault: settle these log segments.</summary>
/// <param name="Job">New with every attempt; part of the names of the files that the worker writes.</param>
/// <param name="Epoch">The archive's, as writer: the other part.</param>
/// <param name="Head">The commit that the worker must have read to know the segments.</param>
/// <param name="To">The settled watermark afterwards.</param>
public sealed record SettleRequested(
    Guid Job, Guid Vault, int Epoch, long Head, uint Timeline, IReadOnlyList<string> LogSegments, string To);

/// <summary>The job is done: its segments are on the medium, and no commit names them yet. Only the archive commits.</summary>
/// <param name="Content">A <see cref="Core.CommitContent"/> as JSON.</param>
/// <param name="Worker">Host and process: for people.</param>
public sealed record SegmentSealed(Guid Job, Guid Vault, string Content, string Worker);

/// <summary>The job could not be done now; nothing of it counts.</summary>
/// <param name="WorkerStopped">It was not the job's fault.</param>
public sealed record JobFailed(Guid Job, Guid Vault, string Reason, string Worker, bool WorkerStopped);

/// <summary>Event: everything up to here is on the medium.</summary>
public sealed record DurableAdvanced(Guid Vault, uint Timeline, string Lsn, DateTimeOffset At);

/// <summary>Event: a table is covered from here on.</summary>
public sealed record BaseCompleted(Guid Vault, int Relation, string Table, int BaseId, string From);

/// <summary>Event: something could not be captured.</summary>
/// <param name="Relation">0: the whole database, or its schema.</param>
public sealed record GapOpened(Guid Vault, string Scope, int Relation, string After, string Reason);

/// <summary>Event: what lies on the medium is not what the vault says.</summary>
public sealed record VerificationFailed(Guid Vault, string What, string Found);
