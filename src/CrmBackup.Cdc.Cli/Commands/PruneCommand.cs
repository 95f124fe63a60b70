using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Cli;

sealed class PruneCommand : Verb
{
    readonly Option<TimeSpan?> _grace = DurationOption.New("--grace", "Files stay for so long after they left the backup", "24h");
    readonly Option<bool> _dryRun = new("--dry-run") { Description = "Only say what would go" };

    public PruneCommand()
        : base("prune", "Removes files that are not part of the backup any more; no restore point is lost")
    {
        Options.Add(SharedOptions.Vault);
        Options.Add(SharedOptions.PublicKey);
        Options.Add(_grace);
        Options.Add(_dryRun);
    }

    public override IReadOnlyList<string> Examples => ["crmbackup prune --vault /backup/crm --dry-run"];

    sealed record Pruned(IReadOnlyList<string> Removed, int Kept, long Bytes, bool DryRun);

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var options = new PruneOptions { DryRun = invocation.Get(_dryRun), Grace = invocation.Get(_grace) ?? new PruneOptions().Grace };
        var report = await VaultPrune.RunAsync(new DirectoryMedium(invocation.Settings.VaultPath), options, invocation.Clock, stop, invocation.Settings.Keys.Trusted());
        invocation.Answer(new Pruned([.. report.Removed.Select(file => file.Path)], report.Kept.Count, report.BytesRemoved, report.DryRun), output =>
        {
            foreach (var file in report.Removed)
                output.WriteLine($"  {file.Path}");
            output.WriteLine($"{Words.Of(report.Removed.Count, "file")}, {Words.Bytes(report.BytesRemoved)}, "
                + $"{(report.DryRun ? "would be removed" : "removed")}; {Words.Of(report.Kept.Count, "file")} within the grace.");
        });
        return (int)ExitCode.Done;
    }
}
