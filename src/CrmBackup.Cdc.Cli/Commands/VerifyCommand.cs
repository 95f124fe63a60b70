using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class VerifyCommand : Verb
{
    public VerifyCommand()
        : base("verify", "Reads every byte of the vault and proves it, or compares it with the live source; exit code 4 when something differs")
    {
        Options.Add(SharedOptions.Vault);
        Options.Add(SharedOptions.Source);
    }

    public override IReadOnlyList<string> Examples =>
        ["crmbackup verify --vault /backup/crm", "crmbackup verify --vault /backup/crm --source \"Host=db;Database=crm;Username=backup\""];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        if (invocation.Has(SharedOptions.Source))
            return await CompareAsync(invocation, stop);
        var medium = new DirectoryMedium(invocation.Settings.VaultPath);
        var report = await WorkDisplay.ShowAsync(invocation, report => VaultVerification.RunAsync(
            medium, new Reporting<VerificationProgress>(step => report(new WorkStep("reading segments", null, step.BytesDone, step.BytesTotal))), stop: stop));
        invocation.Answer(report, output => Write(report, medium.Location, output));
        return (int)report.ExitCode;
    }

    static async Task<int> CompareAsync(Invocation invocation, CancellationToken stop)
    {
        var comparison = new SourceComparison(
            await invocation.OpenVaultAsync(stop), invocation.Clock, invocation.Logging.CreateLogger<SourceComparison>());
        var options = new CompareOptions { Source = invocation.Settings.SourceConnection };
        var report = await WorkDisplay.ShowAsync(invocation, report => comparison.RunAsync(options, new Reporting<CompareProgress>(
            step => report(new WorkStep(step.Folding ? "folding the vault" : "reading the source", step.Table, step.Done, step.Total))), stop));
        invocation.Answer(report, output => Write(report, output));
        return (int)report.ExitCode;
    }

    static void Write(CompareReport report, TextWriter output)
    {
        var lines = new Columns("  ");
        foreach (var table in report.Tables)
            lines.Add(table.Table, Words.Count(table.SourceRows), table.Equal switch
            {
                true => "rows, equal",
                false => $"rows, DIFFERENT: the vault has {Words.Count(table.VaultRows)}",
                null => $"rows, not compared: {table.Note}",
            });
        lines.Write(output);
        foreach (var table in report.Tables)
            foreach (var difference in table.Differences)
                output.WriteLine($"{table.Table} {difference.Key}: {difference.What}");
        output.WriteLine(FormattableString.Invariant(
            $"{Words.Count(report.Rows)} rows of {report.Tables.Count} tables compared with {report.Source} in {report.Seconds:0.0} s, durable up to {report.Lsn}."));
    }

    static void Write(VaultVerificationReport report, string vault, TextWriter output)
    {
        output.WriteLine(report.Damage.Count == 0
            ? $"{vault} is as it was written."
            : $"{vault} is DAMAGED:");
        foreach (var damage in report.Damage)
            output.WriteLine($"  {damage.Path} {damage.What}{(damage.Relations.Count > 0 ? $" ({string.Join(", ", damage.Relations)})" : "")}");
        output.WriteLine($"{Words.Of(report.Head, "commit")}, {Words.Of(report.SegmentsVerified, "segment")} ({Words.Bytes(report.BytesVerified)}), "
            + $"{Words.Of(report.Schemas, "schema")}, {Words.Of(report.Checkpoints, "checkpoint")} read.");
        if (report.Orphans.Count + report.Retired.Count > 0)
            output.WriteLine($"{Words.Of(report.Orphans.Count, "file")} that no commit names, {Words.Count(report.Retired.Count)} retired: prune removes them.");
        foreach (var note in report.Notes)
            output.WriteLine($"Note: {note}");
        if (report.Damage.Count > 0)
            output.WriteLine(report.Remaining is { Database.Count: > 0 } remaining
                ? $"What remains exact: {string.Join("; ", remaining.Database)}"
                : "Nothing of the whole database can be restored exactly.");
    }
}
