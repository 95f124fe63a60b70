using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;

namespace CrmBackup.Cdc.Cli;

sealed class SettleCommand : Verb
{
    static readonly Option<bool> _now = new("--now") { Description = "Everything, not only what is due" };

    public SettleCommand()
        : base("settle", "Turns log segments into typed table segments, for analysts and fast restores; run and archive do it by themselves")
    {
        Options.Add(SharedOptions.Vault);
        Options.Add(_now);
    }

    public override IReadOnlyList<string> Examples => ["crmbackup settle --vault /backup/crm --now"];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var vault = await invocation.OpenVaultAsync(stop);
        using var writer = await ArchiveCommand.OpenWriterAsync(invocation, vault, stop);
        var job = new SettleJob(vault.Medium, vault.Identity, new SettleLimits(), invocation.Log);
        var atOnce = invocation.Get(_now);
        while (SettlePlan.For(vault.State, invocation.Settings.Settle, SourceTime.From(invocation.Clock.GetUtcNow()), atOnce) is { } plan)
            await writer.CommitAsync(await job.RunAsync(plan, vault.State.Shape, $"{writer.Epoch:D8}-{Guid.NewGuid():N}", stop), stop);
        invocation.Answer(new SettledUpTo(vault.State.SettledTo), output => output.WriteLine($"settled up to {vault.State.SettledTo}"));
        return (int)ExitCode.Done;
    }
}

/// <param name="SettledTo">Every event at or before it stands in table segments.</param>
sealed record SettledUpTo(Lsn SettledTo);
