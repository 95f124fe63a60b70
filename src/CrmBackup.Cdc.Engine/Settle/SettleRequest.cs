using System.Globalization;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary><c>settle --now</c> asks the archive that is at work by a file, <c>tmp/asked-*.json</c>: only the archive commits, and where it
/// runs only the vault knows. The archive deletes the file when it begins; where it may
/// not, it makes another, <c>tmp/taken-*.json</c>.</summary>
public static class SettleRequest
{
    /// <summary>Not the hint of any temporary file: a job's own are in the same folder, and requests are deleted.</summary>
    const string Prefix = "tmp/asked-";
    /// <summary>Where the archive may not delete, it says so by a file.</summary>
    const string Taken = "tmp/taken-";
    static readonly TimeSpan _follow = TimeSpan.FromMilliseconds(100);

    /// <summary>The archive's side.</summary>
    /// <returns>True when somebody has asked since the last time.</returns>
    internal static async Task<bool> TakeAsync(IMedium medium, CancellationToken stop)
    {
        var asked = false;
        await foreach (var file in medium.ListAsync("tmp/", null, stop))
            if (file.Path.StartsWith(Prefix, StringComparison.Ordinal) && await TakeAsync(medium, file.Path, stop))
                asked = true;
        return asked;
    }

    /// <returns>False when it was taken before.</returns>
    static async Task<bool> TakeAsync(IMedium medium, string path, CancellationToken stop)
    {
        if (!medium.GrantsDelete)
        {
            var taken = TakenPath(path);
            return await medium.ReadAsync(taken, stop) is null && await medium.TryCreateAsync(taken, "{}\n"u8.ToArray(), stop);
        }
        await medium.DeleteAsync(path, stop);
        return true;
    }

    static string TakenPath(string path) => Taken + path[Prefix.Length..];

    /// <summary>Asks, and waits until everything that is committed now is settled.</summary>
    /// <returns>False when no archive took the request in the time given; it is withdrawn then.</returns>
    /// <exception cref="BackupException">It was taken, but is not done in time.</exception>
    public static async Task<bool> AskAsync(
        BackupVault vault, TimeSpan taken, TimeSpan done, TimeProvider clock, CancellationToken stop)
    {
        var until = (await vault.RefreshAsync(stop)).CoveredTo?.Position.Lsn ?? Lsn.None;
        var path = $"{Prefix}{Guid.NewGuid():N}.json";
        await vault.Medium.TryCreateAsync(path, "{}\n"u8.ToArray(), stop);
        try
        {
            var began = clock.GetTimestamp();
            while (await vault.Medium.ReadAsync(path, stop) is not null && await vault.Medium.ReadAsync(TakenPath(path), stop) is null)
            {
                if (clock.GetElapsedTime(began) > taken)
                    return false;
                await Task.Delay(_follow, clock, stop);
            }
        }
        finally
        {
            if (vault.Medium.GrantsDelete)
                await vault.Medium.DeleteAsync(path, CancellationToken.None);
        }
        var asked = clock.GetTimestamp();
        while ((await vault.RefreshAsync(stop)).SettledTo < until)
        {
            if (clock.GetElapsedTime(asked) > done)
                throw new BackupException(
                    string.Create(CultureInfo.InvariantCulture, $"the archive has not settled up to {until} within {done.TotalMinutes:0.#} minutes"),
                    "See its log; 'crmbackup status' tells how far it is.");
            await Task.Delay(_follow, clock, stop);
        }
        return true;
    }
}
