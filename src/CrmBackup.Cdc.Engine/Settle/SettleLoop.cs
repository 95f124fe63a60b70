using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>Has settled what is due, again and again: chooses the segments, gives them out as a job, has the archive commit the result.</summary>
/// <param name="settle">Has a plan carried out (<see cref="SettleDesk.SettleAsync"/>).</param>
/// <param name="then">Protects what is settled (<see cref="ParityLoop.StepAsync"/>); told whether somebody waits for it.</param>
public sealed class SettleLoop(
    BackupVault vault, Func<SettlePlan, CancellationToken, Task<CommitContent>> settle, Func<CommitContent, CancellationToken, Task> commit, SettleOptions options, TimeProvider clock,
    ILogger<SettleLoop> log, Func<bool, CancellationToken, Task>? then = null)
{
    static readonly TimeSpan _look = TimeSpan.FromSeconds(1);
    static readonly TimeSpan _pause = TimeSpan.FromMinutes(1);

    /// <summary>Completes when somebody asks to have all settled.</summary>
    volatile TaskCompletionSource _asked = new();

    /// <summary>Until stopped. Work that no worker could do stays for later: nothing is lost by waiting.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Task[] loops = [HearAsync(ending.Token), SettleAsync(ending.Token)];
        try
        {
            await await Task.WhenAny(loops);
        }
        finally
        {
            await ending.EndAsync();
            await Task.WhenAll(loops).EndedAsync();
        }
    }

    /// <summary>Requests are taken while a job is under way, too: who asks waits for the work, and not for somebody to listen.</summary>
    async Task HearAsync(CancellationToken stop)
    {
        while (true)
        {
            if (await SettleRequest.TakeAsync(vault.Medium, stop))
                _asked.TrySetResult();
            await Task.Delay(_look, clock, stop);
        }
    }

    async Task SettleAsync(CancellationToken stop)
    {
        // Until it is done: what failed is owed still.
        var owed = false;
        while (true)
            try
            {
                if (_asked.Task.IsCompleted)
                    (_asked, owed) = (new TaskCompletionSource(), true);
                if (owed)
                {
                    await SettleAllAsync(stop);
                    owed = false;
                }
                else
                {
                    if (!await StepAsync(atOnce: false, stop))
                        await AskedWithinAsync(_look, stop);
                    await ThenAsync(atOnce: false, stop);
                }
                stop.ThrowIfCancellationRequested();
            }
            catch (BackupException failure) when (failure.ExitCode == ExitCode.Failed)
            {
                log.SettlePutOff(failure.Message, _pause);
                await AskedWithinAsync(_pause, stop);
            }
    }

    async Task AskedWithinAsync(TimeSpan length, CancellationToken stop)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var pause = clock.PauseAsync(length, over.Token);
        await Task.WhenAny(_asked.Task, pause);
        await over.EndAsync();
        await pause.EndedAsync();
        stop.ThrowIfCancellationRequested();
    }

    /// <summary>Settles everything that is committed now, however little.</summary>
    public async Task SettleAllAsync(CancellationToken stop)
    {
        var until = vault.State.CoveredTo?.Position.Lsn ?? Lsn.None;
        while (vault.State.SettledTo < until && await StepAsync(atOnce: true, stop))
            stop.ThrowIfCancellationRequested();
        await ThenAsync(atOnce: true, stop);
    }

    Task ThenAsync(bool atOnce, CancellationToken stop) => then?.Invoke(atOnce, stop) ?? Task.CompletedTask;

    /// <returns>False when nothing was due.</returns>
    async Task<bool> StepAsync(bool atOnce, CancellationToken stop)
    {
        if (SettlePlan.For(vault.State, options, SourceTime.From(clock.GetUtcNow()), atOnce) is not { } plan)
            return false;
        await commit(await settle(plan, stop), stop);
        return true;
    }
}
