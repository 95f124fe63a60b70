using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>Has settled what is due, again and again: chooses the segments, gives them out as a job, has the archive commit the result.</summary>
/// <param name="settle">Has a plan carried out (<see cref="SettleDesk.SettleAsync"/>).</param>
public sealed class SettleLoop(
    BackupVault vault, Func<SettlePlan, CancellationToken, Task<CommitContent>> settle, Func<CommitContent, CancellationToken, Task> commit, SettleOptions options, TimeProvider clock,
    ILogger<SettleLoop> log)
{
    static readonly TimeSpan _look = TimeSpan.FromSeconds(1);
    static readonly TimeSpan _pause = TimeSpan.FromMinutes(1);

    /// <summary>Until stopped. Work that no worker could do stays for later: nothing is lost by waiting.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (true)
        {
            try
            {
                while (await StepAsync(atOnce: false, stop))
                    stop.ThrowIfCancellationRequested();
                if (await SettleRequest.TakeAsync(vault.Medium, stop))
                    await SettleAllAsync(stop);
                await Task.Delay(_look, clock, stop);
            }
            catch (BackupException failure) when (failure.ExitCode == ExitCode.Failed)
            {
                log.SettlePutOff(failure.Message, _pause);
                await Task.Delay(_pause, clock, stop);
            }
        }
    }

    /// <summary>Settles everything that is committed now, however little.</summary>
    public async Task SettleAllAsync(CancellationToken stop)
    {
        var until = vault.State.CoveredTo?.Position.Lsn ?? Lsn.None;
        while (vault.State.SettledTo < until && await StepAsync(atOnce: true, stop))
            stop.ThrowIfCancellationRequested();
    }

    /// <returns>False when nothing was due.</returns>
    async Task<bool> StepAsync(bool atOnce, CancellationToken stop)
    {
        if (SettlePlan.For(vault.State, options, SourceTime.From(clock.GetUtcNow()), atOnce) is not { } plan)
            return false;
        await commit(await settle(plan, stop), stop);
        return true;
    }
}
