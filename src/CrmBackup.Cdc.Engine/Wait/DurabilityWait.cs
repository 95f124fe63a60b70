using System.Globalization;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Everything committed on the source before a position was known is on the medium.</summary>
/// <param name="Lsn">End LSN of the message that was written to the source's WAL.</param>
/// <param name="DurableLsn">What the vault covers now; never less.</param>
/// <param name="Head">The newest commit: kept elsewhere, it shows later that no history was cut off.</param>
public sealed record Durable(Lsn Lsn, Lsn DurableLsn, FileReference Head);

/// <summary>Watches a vault until it covers a position.</summary>
public sealed class DurabilityWait(BackupVault vault, TimeProvider clock)
{
    /// <summary>One look costs one failed open of a file.</summary>
    static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(50);

    readonly long _began = clock.GetTimestamp();

    /// <exception cref="BackupException">Not within the time given, counted from when this object was made.</exception>
    public async Task<Durable> UntilAsync(Lsn position, TimeSpan timeout, CancellationToken stop)
    {
        while (await RefreshAsync(stop) < position)
        {
            if (clock.GetElapsedTime(_began) >= timeout)
                throw NotYet($"{position} is not durable", timeout);
            await Task.Delay(LookEvery, clock, stop);
        }
        return new Durable(position, Covered, Head);
    }

    /// <summary>Until every table, and the schema, can be restored to the newest position.</summary>
    public async Task<Durable> ProtectedAsync(Durable durable, TimeSpan timeout, CancellationToken stop)
    {
        while (StatusReport.Of(vault, null, clock).Problems is [var problem, ..])
        {
            if (clock.GetElapsedTime(_began) >= timeout)
                throw NotYet(problem, timeout);
            await Task.Delay(LookEvery, clock, stop);
            await RefreshAsync(stop);
        }
        return durable with { DurableLsn = Covered, Head = Head };
    }

    FileReference Head => new(vault.State.Head, vault.State.HeadHash);

    Lsn Covered => vault.State.CoveredTo?.Position.Lsn ?? Lsn.None;

    async Task<Lsn> RefreshAsync(CancellationToken stop)
    {
        await vault.RefreshAsync(stop);
        return Covered;
    }

    BackupException NotYet(string what, TimeSpan timeout) => new(
        string.Create(CultureInfo.InvariantCulture,
            $"{what} after {timeout.TotalSeconds:0.###} s: the vault covers {(Covered.IsNone ? "nothing yet" : $"up to {Covered}")}{LastWriter()}"),
        "Is 'crmbackup run' (or capture and archive) at work on this vault? 'crmbackup status' tells what it lacks.");

    string LastWriter() => vault.Newest is { Head: var head }
        ? string.Create(CultureInfo.InvariantCulture,
            $"; the newest commit is {(clock.GetUtcNow() - head.Time).TotalSeconds:0} s old, of process {head.Writer.Pid} on {head.Writer.Host}")
        : "; it has no commit";
}
