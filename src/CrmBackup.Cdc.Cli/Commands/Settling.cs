using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

/// <summary>How settling is wired: jobs go through the control plane, whether a worker is in this process or in others.</summary>
static class Settling
{
    public static ControlPlane Plane(Invocation invocation, BackupVault vault) => invocation.Settings.Broker.Uri is null
        ? ControlPlane.CreateInMemory(vault.Identity.Id, invocation.Logging)
        : ControlPlane.CreateRabbit(vault.Identity.Id, invocation.Settings.Broker.For(vault.Identity.Id).Broker, invocation.Logging);

    public static SettleLoop Loop(
        Invocation invocation, BackupVault vault, ControlPlane plane, Func<CommitContent, CancellationToken, Task> commit)
    {
        var desk = new SettleDesk(
            plane, vault.Medium, () => vault.State, invocation.Settings.Jobs, invocation.Clock, invocation.Logging.CreateLogger<SettleDesk>());
        var parity = new ParityLoop(
            vault, new ParityJob(vault.Medium, vault.Identity, invocation.Logging.CreateLogger<ParityJob>()), commit, invocation.Settings.Parity,
            invocation.Clock, invocation.Logging.CreateLogger<ParityLoop>());
        return new SettleLoop(
            vault, desk.SettleAsync, CommitAsync, invocation.Settings.Settle, invocation.Clock, invocation.Logging.CreateLogger<SettleLoop>(), parity.StepAsync);

        // The analysts' text stands in the vault after each settle.
        async Task CommitAsync(CommitContent content, CancellationToken stop)
        {
            await commit(content, stop);
            await SqlViews.WriteAsync(vault, stop);
        }
    }

    /// <param name="alone">The worker has no archive beside it: it reads the vault anew for each job.</param>
    public static SettleWorker Worker(Invocation invocation, BackupVault vault, ControlPlane plane, bool alone)
    {
        var log = invocation.Logging.CreateLogger<SettleWorker>();
        var job = new SettleJob(vault.Medium, vault.Identity, new SettleLimits(), log);
        return new SettleWorker(
            plane, stop => alone ? vault.RefreshAsync(stop) : Task.FromResult(vault.State), SettleWorker.By(job), invocation.Clock, log,
            own: alone ? vault.Medium : null);
    }
}
