using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class VerifyCommand : Verb
{
    /// <summary>Said alone it means the configured source: comparing reads every row of it, so it must be asked for.</summary>
    readonly Option<string> _source = new("--source")
    {
        HelpName = "connection",
        Arity = ArgumentArity.ZeroOrOne,
        Description = "Compare the backup's content with the live source instead, table by table, without restoring",
    };
    readonly Option<string[]> _tables = new("--table") { HelpName = "schema.table", Description = "With --source: only this table; * and ? match, can be repeated" };

    public VerifyCommand()
        : base("verify", "Reads every byte of the vault and proves it; or compares it with the live source. Exit code 4 on any difference")
    {
        Options.Add(SharedOptions.Vault);
        Options.Add(_source);
        Options.Add(_tables);
        Options.Add(WaitCommand.Timeout);
    }

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup verify --vault /backup/crm",
        "crmbackup verify --vault /backup/crm --source \"Host=db;Database=crm;Username=crmbackup\"",
    ];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        if (invocation.Has(_source))
            return await CompareAsync(invocation, stop);
        if (invocation.Has(_tables))
            throw new UsageException("--table goes with --source", "Without --source every byte of the vault is read.");
        var medium = new DirectoryMedium(invocation.Settings.VaultPath);
        var report = await WorkDisplay.ShowAsync(invocation, show => VaultVerification.RunAsync(
            medium, new Reporting<VerificationProgress>(step => show(new WorkStep("reading segments", null, step.BytesDone, step.BytesTotal))), stop: stop));
        invocation.Answer(report, output => Write(report, medium.Location, output));
        return (int)report.ExitCode;
    }

    async Task<int> CompareAsync(Invocation invocation, CancellationToken stop)
    {
        invocation.WarnOfPassword(_source);
        var options = new CompareOptions
        {
            Source = invocation.Get(_source) ?? invocation.Settings.SourceConnection,
            Tables = invocation.Get(_tables) ?? [],
            DurableWithin = invocation.Get(WaitCommand.Timeout) ?? WaitCommand.Patience,
        };
        var comparison = new SourceComparison(
            await invocation.OpenVaultAsync(stop), invocation.Clock, invocation.Logging.CreateLogger<SourceComparison>());
        var report = await WorkDisplay.ShowAsync(invocation, show => comparison.RunAsync(options, new Reporting<CompareProgress>(
            step => show(new WorkStep(step.Folding ? "folding the vault" : "reading the source", step.Table, step.Done, step.Total))), stop));
        invocation.Answer(report, output => Write(report, output));
        return (int)report.ExitCode;
    }

    static void Write(CompareReport report, TextWriter output)
    {
        output.WriteLine(report.ExitCode switch
        {
            ExitCode.Done => $"{report.Vault} holds what {report.Source} holds, up to {report.Lsn}.",
            ExitCode.Difference => $"{report.Vault} DIFFERS from {report.Source}:",
            _ => $"Not every table of {report.Source} could be compared:",
        });
        var lines = new Columns("  ");
        foreach (var table in report.Tables)
            lines.Add(table.Table, Words.Count(table.SourceRows), "rows, " + (table.Equal switch
            {
                true => "equal",
                false => $"DIFFERENT: the vault has {Words.Count(table.VaultRows)}",
                null => "not compared",
            }) + (table.Note is { } note ? $" ({note})" : ""));
        lines.Write(output);
        foreach (var table in report.Tables)
            foreach (var difference in table.Differences)
                output.WriteLine($"  {table.Table} {difference.Key}: {difference.What}");
        output.WriteLine(FormattableString.Invariant($"{Words.Count(report.Rows)} rows in {report.Seconds:0.0} s."));
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
