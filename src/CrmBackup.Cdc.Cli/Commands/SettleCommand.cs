using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class SettleCommand : Verb
{
    /// <summary>An archive looks for requests every second, also while it settles; on a busy machine or a slow medium somewhat later.</summary>
    static readonly TimeSpan Taken = TimeSpan.FromSeconds(30);

    readonly Option<bool> _now = new("--now") { Description = "Settle everything, however little; else only what is due" };
    readonly Option<TimeSpan?> _timeout = DurationOption.New("--timeout", "How long to wait for the archive that does it", "10min");

    public SettleCommand()
        : base("settle", "Turns log segments into typed ones, one table each, for analysts; moves the moment up to which 'sql' is complete")
    {
        Options.Add(SharedOptions.Vault);
        Options.Add(SharedOptions.PrivateKey);
        Options.Add(SharedOptions.Parity);
        Options.Add(_now);
        Options.Add(_timeout);
    }

    public override IReadOnlyList<string> Examples => ["crmbackup settle --vault /backup/crm --now"];

    /// <summary>Why nothing is settled here: the last word, when no archive does it either.</summary>
    RefusedException? _refused;

    sealed record Settled(Lsn SettledTo, Lsn CoveredTo);

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var vault = await invocation.OpenVaultAsync(stop);
        var here = vault.Newest is null || vault.Newest.Head.Writer.Host == Environment.MachineName;
        // An archive on another machine would be put out of work by a writer here: it is asked first.
        if (!here && await AskAsync(invocation, vault, stop) || await SettleHereAsync(invocation, vault, stop) || await AskAsync(invocation, vault, stop))
        {
            var state = await vault.RefreshAsync(stop);
            invocation.Answer(new Settled(state.SettledTo, state.CoveredTo?.Position.Lsn ?? Lsn.None), output => output.WriteLine(
                state.SettledTo.IsNone ? "There was nothing to settle." : $"Settled up to {state.SettledTo}."));
            return (int)ExitCode.Done;
        }
        throw _refused ?? new RefusedException(
            $"the vault at {vault.Medium.Location} is in use by a process that does not settle",
            "It may be another 'crmbackup settle': wait for its end. Else stop it, and settle again.");
    }

    Task<bool> AskAsync(Invocation invocation, BackupVault vault, CancellationToken stop) => SettleRequest.AskAsync(
        vault, Taken, invocation.Get(_timeout) ?? TimeSpan.FromMinutes(10), invocation.Clock, stop);

    /// <returns>False when an archive is at work here.</returns>
    async Task<bool> SettleHereAsync(Invocation invocation, BackupVault vault, CancellationToken stop)
    {
        VaultWriter writer;
        using var key = invocation.Settings.Keys.Private();
        try
        {
            writer = await ArchiveCommand.OpenWriterAsync(invocation, vault, key, stop);
        }
        catch (RefusedException refused)
        {
            _refused = refused;
            return false;
        }
        using (writer)
        {
            var job = new SettleJob(vault.Medium, vault.Identity, new SettleLimits(), invocation.Logging.CreateLogger<SettleJob>());
            while (SettlePlan.For(
                vault.State, invocation.Settings.Settle, SourceTime.From(invocation.Clock.GetUtcNow()), invocation.Get(_now)) is { } plan)
                await writer.CommitAsync(
                    await job.RunAsync(plan, vault.State.Shape, $"{writer.Epoch:D8}-{Guid.NewGuid():N}", stop), stop);
            var parity = new ParityJob(vault.Medium, vault.Identity, invocation.Logging.CreateLogger<ParityJob>());
            while (ParityPlan.For(vault.State, invocation.Settings.Parity, invocation.Get(_now)) is { } plan)
                await writer.CommitAsync(await parity.RunAsync(plan, vault.State, $"{writer.Epoch:D8}-{Guid.NewGuid():N}", stop), stop);
            await SqlViews.WriteAsync(vault, stop);
            return true;
        }
    }
}
