using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;

namespace CrmBackup.Cdc.Cli;

sealed class CheckCommand : Verb
{
    public CheckCommand()
        : base("check", "What of the source would not be protected, or only in part, and the exact line that mends it; exit code 3 when unsafe")
    {
        Options.Add(SharedOptions.Source);
        Options.Add(SharedOptions.Vault);
    }

    public override IReadOnlyList<string> Examples => ["crmbackup check --source \"Host=db;Database=crm;Username=postgres\" --vault /backup/crm"];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var vault = invocation.Settings.Vault.Path is null ? null : await invocation.OpenVaultAsync(stop);
        await using var source = await SourceConnection.OpenAsync(invocation.Settings.SourceConnection, stop);
        var findings = await SourceCheck.RunAsync(source, new SetupOptions { Vault = vault?.Identity.Id, Cluster = vault?.Identity.SystemIdentifier ?? 0 }, stop);
        invocation.Answer(new Answer(source.Database, findings), output => Write(findings, output));
        return (int)(findings.Any(finding => finding.Severity == Severity.Unsafe) ? ExitCode.Refused : ExitCode.Done);
    }

    /// <summary>The documented JSON of <c>check</c>.</summary>
    sealed record Answer(string Database, IReadOnlyList<Finding> Findings);

    static void Write(IReadOnlyList<Finding> findings, TextWriter output)
    {
        foreach (var finding in findings.OrderByDescending(finding => finding.Severity))
        {
            output.WriteLine($"{finding.Severity.ToString().ToUpperInvariant(),-7}  {finding.What}");
            output.WriteLine($"         {finding.Why}");
            foreach (var remedy in finding.Remedies)
                output.WriteLine($"         {(remedy.Kind == RemedyKind.Advice ? "do: " : "run: ")}{remedy.Text}");
        }
        output.WriteLine(findings.Any(finding => finding.Severity == Severity.Unsafe) ? "Unsafe." : "Nothing unsafe.");
    }
}
