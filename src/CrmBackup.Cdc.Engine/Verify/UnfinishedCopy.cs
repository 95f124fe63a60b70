using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>A vault that was copied while it was written may hold commits whose segments it does not hold: the copier had passed their
/// folder already. It is whole up to a commit before.</summary>
public static class UnfinishedCopy
{
    /// <summary>Prune keeps for so long what a copier may still be on its way to; what is missing of older commits is damage.</summary>
    static readonly TimeSpan _copying = TimeSpan.FromHours(24);

    /// <returns>The vault itself when no young segment is missing; else as it was at its newest whole commit.</returns>
    public static async Task<BackupVault> NewestWholeAsync(BackupVault vault, CancellationToken stop)
    {
        var there = new HashSet<string>();
        foreach (var folder in new[] { "log/", "tables/" })
            await foreach (var file in vault.Medium.ListAsync(folder, null, stop))
                there.Add(file.Path);
        while (vault.State.Segments.Keys.Where(path => !there.Contains(path)).ToHashSet() is { Count: > 0 } missing
            && await FirstNamingAsync(vault, missing, stop) is { } first)
            vault = await BackupVault.OpenAsync(vault.Medium, stop, trust: null, upTo: first - 1);
        return vault;
    }

    /// <summary>The oldest young commit that added one of them; null when all are older.</summary>
    static async Task<long?> FirstNamingAsync(BackupVault vault, HashSet<string> missing, CancellationToken stop)
    {
        long? first = null;
        for (var number = vault.State.Head; number > 1; number--)
        {
            if (await vault.Medium.ReadAsync(VaultPath.Commit(number), stop) is not { } file || !CommitCodec.TryParse(number, file, out var commit))
                break;
            if (commit.Head.Time < vault.State.HeadTime - _copying)
                break;
            if (commit.Content.Add.Any(segment => missing.Contains(segment.Path)))
                first = number;
        }
        return first;
    }
}
