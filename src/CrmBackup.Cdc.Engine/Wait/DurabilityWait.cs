using System.Globalization;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Everything committed on the source before a position was known is on the medium.</summary>
/// <param name="Lsn">End LSN of the message that was written to the source's WAL.</param>
/// <param name="DurableLsn">What the vault covers now; never less.</param>
public sealed record Durable(Lsn Lsn, Lsn DurableLsn);

/// <summary>Watches a vault until it covers a position.</summary>
public sealed class DurabilityWait(BackupVault vault, TimeProvider clock)
{
    /// <summary>One look costs one failed open of a file.</summary>
    static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(50);

    /// <exception cref="BackupException">Not within the time given.</exception>
    public async Task<Durable> UntilAsync(Lsn position, TimeSpan timeout, CancellationToken stop)
    {
        var started = clock.GetTimestamp();
        while (true)
        {
            var state = await vault.RefreshAsync(stop);
            var covered = state.CoveredTo?.Position.Lsn ?? Lsn.None;
            if (covered >= position)
                return new Durable(position, covered);
            if (clock.GetElapsedTime(started) >= timeout)
                throw new BackupException(
                    string.Create(CultureInfo.InvariantCulture,
                        $"{position} is not durable after {timeout.TotalSeconds:0.###} s: the vault covers {(covered.IsNone ? "nothing yet" : $"up to {covered}")}{LastWriter()}"),
                    "Is 'crmbackup run' (or capture and archive) at work on this vault? 'crmbackup status' tells what it lacks.");
            await Task.Delay(LookEvery, clock, stop);
        }
    }

    string LastWriter() => vault.Newest is { Head: var head }
        ? string.Create(CultureInfo.InvariantCulture,
            $"; the newest commit is {(clock.GetUtcNow() - head.Time).TotalSeconds:0} s old, of process {head.Writer.Pid} on {head.Writer.Host}")
        : "; it has no commit";
}
