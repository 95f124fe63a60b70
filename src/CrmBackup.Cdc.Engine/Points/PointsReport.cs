using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>An edge of coverage.</summary>
public sealed record Edge(Lsn Lsn, SourceTime? Time);

/// <summary>Every moment from one edge to the other can be restored exactly.</summary>
public sealed record CoveredRange(uint Timeline, Edge From, Edge To)
{
    public static CoveredRange Of(CoverageRange range) =>
        new(range.From.Timeline, new Edge(range.From.Lsn, range.FromTime), new Edge(range.UpTo.Lsn, range.UpToTime));
}

/// <param name="Current">Its newest state can be restored.</param>
public sealed record TablePoints(string Table, bool Current, IReadOnlyList<CoveredRange> Coverage);

/// <param name="Before">The state before the marking transaction.</param>
/// <param name="Restorable">False: it lies outside coverage.</param>
public sealed record MarkPoint(string Name, Lsn Lsn, uint Timeline, SourceTime Time, ulong Xid, bool Before, bool Restorable);

/// <summary>What <c>points</c> answers: to which moments an exact restore is possible.</summary>
/// <param name="Coverage">Of the whole database, oldest first.</param>
/// <param name="Tables">Every live table with its own coverage: one table can be restored where the whole cannot.</param>
/// <param name="Reduced">What is missing or not exact, in words.</param>
public sealed record PointsReport(
    string Vault, string Database, IReadOnlyList<CoveredRange> Coverage, IReadOnlyList<TablePoints> Tables,
    IReadOnlyList<MarkPoint> Marks, IReadOnlyList<string> Reduced)
{
    public static PointsReport Of(BackupVault vault)
    {
        var coverage = Core.Coverage.Of(vault.State);
        var newest = vault.State.CoveredTo?.Position;
        var usable = coverage.Marks.ToHashSet();
        return new PointsReport(
            vault.Medium.Location, vault.Identity.Database,
            [.. coverage.Database.Select(CoveredRange.Of)],
            [.. coverage.Relations.Where(table => table.Live).Select(table => new TablePoints(
                table.Name, newest is { } now && table.Holds(now), [.. table.Ranges.Select(CoveredRange.Of)]))],
            [.. vault.State.Marks.Select(mark => new MarkPoint(
                mark.Name, mark.At.Lsn, mark.At.Timeline, mark.Time, mark.Xid, mark.Before, usable.Contains(mark)))],
            coverage.Reduced);
    }
}
