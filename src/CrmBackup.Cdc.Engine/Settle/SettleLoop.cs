using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Settles what is due, again and again. Chooses the segments; who settles them (this process or a worker) is given, and only the
/// archive commits.</summary>
/// <param name="state">The archive's present view of the vault.</param>
/// <param name="settle">Carries out a plan; its result is checked, its segments are durable.</param>
/// <param name="commit">Returns when the archive has committed the result.</param>
public sealed class SettleLoop(
    Func<VaultState> state, Func<SettlePlan, CancellationToken, Task<CommitContent>> settle,
    Func<CommitContent, CancellationToken, Task> commit, SettleOptions options, TimeProvider clock)
{
    static readonly TimeSpan _look = TimeSpan.FromSeconds(5);

    public async Task RunAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(_look, clock);
        while (await timer.WaitForNextTickAsync(stop))
            while (await StepAsync(atOnce: false, stop))
                stop.ThrowIfCancellationRequested();
    }

    /// <summary>Settles everything that is committed now, however little.</summary>
    public async Task SettleAllAsync(CancellationToken stop)
    {
        var until = state().CoveredTo?.Position.Lsn ?? Lsn.None;
        while (state().SettledTo < until && await StepAsync(atOnce: true, stop))
            stop.ThrowIfCancellationRequested();
    }

    /// <returns>False when nothing was due.</returns>
    async Task<bool> StepAsync(bool atOnce, CancellationToken stop)
    {
        if (SettlePlan.For(state(), options, SourceTime.From(clock.GetUtcNow()), atOnce) is not { } plan)
            return false;
        await commit(await settle(plan, stop), stop);
        return true;
    }

    /// <summary>Settles in this process. The stem makes the new files' names unique in the vault's life.</summary>
    public static Func<SettlePlan, CancellationToken, Task<CommitContent>> InProcess(BackupVault vault, int epoch, SettleJob job) =>
        (plan, stop) => job.RunAsync(plan, vault.State.Shape, $"{epoch:D8}-{Guid.NewGuid():N}", stop);
}
