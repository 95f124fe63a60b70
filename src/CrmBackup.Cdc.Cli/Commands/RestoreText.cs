using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;

namespace CrmBackup.Cdc.Cli;

/// <summary>The report of a restore, for people.</summary>
static class RestoreText
{
    public static void Write(RestoreReport report, TextWriter output)
    {
        output.WriteLine(report.DryRun
            ? $"{report.To} means lsn:{report.Lsn}: {report.Why}."
            : $"{report.Target} holds the state at lsn:{report.Lsn}: {report.Why}.");
        var lines = new Columns("  ");
        foreach (var table in report.Tables)
            lines.Add(table.RestoredAs == table.Table ? table.Table : $"{table.Table} as {table.RestoredAs}",
                Words.Count(table.Rows), table.Verified switch
                {
                    true => "rows, read back and equal",
                    false => "rows, DIFFERENT from the backup",
                    null => report.DryRun ? "rows to read" : "rows",
                });
        lines.Write(output);
        foreach (var kind in report.Fidelity.GroupBy(line => line.Fidelity).OrderBy(kind => kind.Key))
            output.WriteLine($"{kind.Key}: " + string.Join("; ", kind.Select(line => line.Why.Length > 0 ? $"{line.What} ({line.Why})" : line.What)));
        foreach (var violation in report.Violations)
            output.WriteLine($"Not taken by the target: {violation.Message} (SQLSTATE {violation.SqlState}): {violation.Statement}");
        foreach (var note in report.Notes)
            output.WriteLine($"Note: {note}");
        if (report.OldDatabase is { } old)
            output.WriteLine($"The database from before is kept as {old}; nobody could connect for {report.DowntimeSeconds:0.00} s.");
        if (report.Tables.Count == 0)
            return;
        output.WriteLine(FormattableString.Invariant(report.DryRun
            ? $"{Words.Bytes(report.BytesRead)} of segments to read, about {report.ExpectedSeconds:0} s."
            : (FormattableString)$"{Words.Count(report.Rows)} rows of {report.Tables.Count} tables in {report.Seconds:0.0} s ({Phases(report)})."));
    }

    static string Phases(RestoreReport report) => string.Join(", ",
        report.PhaseSeconds.Where(phase => phase.Value >= 0.05).Select(phase => FormattableString.Invariant($"{phase.Key} {phase.Value:0.0}")));
}
