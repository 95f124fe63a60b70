using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <param name="RestoredAs">The name in the target.</param>
/// <param name="Hash">Of the rows, independent of their order (the README says how it is made).</param>
/// <param name="Verified">Read back and found equal; null when it was not asked for.</param>
public sealed record RestoredTable(string Table, string RestoredAs, long Rows, Sha256? Hash, bool? Verified);

/// <summary>A statement of the schema that the target did not take.</summary>
public sealed record RestoreViolation(string Statement, string SqlState, string Message);

/// <summary>What a restore did, or (dry run) would do. The shape is the documented JSON of <c>restore --output json</c>.</summary>
/// <param name="To">As it was asked for.</param>
/// <param name="Lsn">The state's end LSN: every transaction that ends at or before it is part of it.</param>
/// <param name="Why">How the position was found.</param>
/// <param name="ExpectedSeconds">A guess from bytes and rows.</param>
/// <param name="Violations">Empty when the target took the whole schema.</param>
/// <param name="Notes">Grants and owners of roles that the target server does not have, statements that fitted tables, and the like.</param>
/// <param name="DowntimeSeconds">In place: how long nobody could connect.</param>
/// <param name="OldDatabase">In place: where the database from before is kept.</param>
public sealed record RestoreReport(
    string Vault, string To, Lsn Lsn, uint Timeline, string Why, SourceTime? Time, string Target, bool DryRun,
    IReadOnlyList<RestoredTable> Tables, IReadOnlyList<FidelityLine> Fidelity, IReadOnlyList<RestoreViolation> Violations,
    IReadOnlyList<string> Notes, long BytesRead, double ExpectedSeconds, double Seconds,
    IReadOnlyDictionary<string, double> PhaseSeconds, bool? Verified, double? DowntimeSeconds = null, string? OldDatabase = null)
{
    public long Rows => Tables.Sum(table => table.Rows);

    /// <summary>4 when what was read back differs, 1 when the target did not take a statement.</summary>
    public ExitCode ExitCode =>
        Verified == false ? ExitCode.Difference : Violations.Count > 0 ? ExitCode.Failed : ExitCode.Done;
}
