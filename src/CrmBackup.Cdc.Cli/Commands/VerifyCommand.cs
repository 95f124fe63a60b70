using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Cli;

sealed class VerifyCommand : Verb
{
    public VerifyCommand()
        : base("verify", "Reads every byte of the vault and proves it; exit code 4 when something is damaged") =>
        Options.Add(SharedOptions.Vault);

    public override IReadOnlyList<string> Examples => ["crmbackup verify --vault /backup/crm"];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var medium = new DirectoryMedium(invocation.Settings.VaultPath);
        var report = await WorkDisplay.ShowAsync(invocation, report => VaultVerification.RunAsync(
            medium, new Reporting<VerificationProgress>(step => report(new WorkStep("reading segments", null, step.BytesDone, step.BytesTotal))), stop: stop));
        invocation.Answer(report, output => Write(report, medium.Location, output));
        return (int)report.ExitCode;
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
