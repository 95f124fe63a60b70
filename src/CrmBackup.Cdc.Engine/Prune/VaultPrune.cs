using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

public sealed record PruneOptions
{
    /// <summary>A day: a restore that was planned, a copy that is under way, an operator who wants a file
    /// back.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromHours(24);

    /// <summary>Only say what would go.</summary>
    public bool DryRun { get; init; }

    public IEnumerable<string> Problems()
    {
        if (Grace < TimeSpan.FromMinutes(10))
            yield return "prune.grace must be at least 10 minutes: files are published before a commit names them";
    }
}

/// <param name="Removed">Or, in a dry run, what would be.</param>
/// <param name="Kept">Files outside the live set that are within the grace.</param>
public sealed record PruneReport(IReadOnlyList<MediumFile> Removed, IReadOnlyList<MediumFile> Kept, bool DryRun)
{
    public long BytesRemoved => Removed.Sum(file => file.Bytes);
}

/// <summary>Removes what is not part of the backup any more: segments that left the live set, orphans, superseded
/// views, what crashes left
/// (expired leases too) under <c>tmp/</c>; all only after the grace. Nothing that the newest commit needs is ever
/// touched. Commits, checkpoints and schemas stay.</summary>
public static class VaultPrune
{
    static readonly string[] Folders = ["log/", "tables/", VaultPath.ParityFolder, "sql/", "tmp/"];

    /// <param name="trust">Where there are any: a forged commit that takes segments out of the backup removes nothing.</param>
    /// <exception cref="RefusedException">A restore is reading, or the history is not signed by a trusted key.</exception>
    public static async Task<PruneReport> RunAsync(
        IMedium medium, PruneOptions options, TimeProvider clock, CancellationToken stop, TrustedKeys? trust = null)
    {
        if (options.Problems().FirstOrDefault() is { } problem)
            throw new UsageException(problem, "Give a longer grace.");
        await RefuseBesideRestoreAsync(medium, clock, stop);
        // Listed before the commits are read: what is committed meanwhile is in the live set.
        var files = await ListAsync(medium, stop);
        var vault = await BackupVault.OpenAsync(medium, stop, trust: trust);
        var bound = clock.GetUtcNow() - options.Grace;
        var recent = await RecentlyRemovedAsync(vault, bound, stop);
        var parity = Parity(vault.State);
        var views = files.Select(file => ViewsNumber(file.Path)).Max();

        var removed = new List<MediumFile>();
        var kept = new List<MediumFile>();
        foreach (var file in files)
        {
            if (vault.State.Segments.ContainsKey(file.Path) || parity.Contains(file.Path) || !IsOurs(file.Path))
                continue;
            if (views is not null && ViewsNumber(file.Path) == views)
                continue;
            (file.Modified < bound && !recent.Contains(file.Path) ? removed : kept).Add(file);
        }
        if (!options.DryRun)
            await RemoveAsync(medium, vault, removed, clock, stop);
        return new PruneReport(removed, kept, options.DryRun);
    }

    static async Task RemoveAsync(
        IMedium medium, BackupVault vault, List<MediumFile> files, TimeProvider clock, CancellationToken stop)
    {
        // A restore or a commit may have come while we were reading.
        await RefuseBesideRestoreAsync(medium, clock, stop);
        await vault.RefreshAsync(stop);
        var parity = Parity(vault.State);
        files.RemoveAll(file => vault.State.Segments.ContainsKey(file.Path) || parity.Contains(file.Path));
        foreach (var file in files)
            await medium.DeleteAsync(file.Path, stop);
    }

    /// <summary>Whatever a group that counts is made of, also members that left the live set: without them it mends less.</summary>
    static HashSet<string> Parity(VaultState state) =>
        [.. state.ParityGroups.Values.SelectMany(group => group.Members.Concat(group.Files)).Select(file => file.Path)];

    static async Task<List<MediumFile>> ListAsync(IMedium medium, CancellationToken stop)
    {
        var files = new List<MediumFile>();
        foreach (var folder in Folders)
            await foreach (var file in medium.ListAsync(folder, null, stop))
                files.Add(file);
        return files;
    }

    /// <summary>What commits younger than the bound took out of the live set, read backwards from the newest.</summary>
    static async Task<HashSet<string>> RecentlyRemovedAsync(
        BackupVault vault, DateTimeOffset bound, CancellationToken stop)
    {
        var recent = new HashSet<string>();
        for (var number = vault.State.Head; number > 0; number--)
        {
            var path = VaultPath.Commit(number);
            var file = await vault.Medium.ReadAsync(path, stop)
                ?? throw new FormatViolationException($"{path} is missing");
            // Torn ones, set aside, removed nothing.
            if (CommitCodec.IsTorn(file))
                continue;
            var commit = CommitCodec.Parse(number, file);
            if (commit.Head.Time < bound)
                break;
            recent.UnionWith(commit.Content.Remove);
            foreach (var id in commit.Content.Parity?.Remove ?? [])
                recent.UnionWith(Enumerable.Range(0, ParityOptions.FilesMax).Select(place => VaultPath.Parity(id, place)));
        }
        return recent;
    }

    /// <summary>A name that only we give; anything else someone put there, and is none of our business.</summary>
    static bool IsOurs(string path) =>
        VaultPath.IsValid(path)
        && (path.StartsWith("tmp/", StringComparison.Ordinal)
            ? path != VaultWriter.LockPath
            : path.EndsWith(".parquet", StringComparison.Ordinal) || path.StartsWith(VaultPath.ParityFolder, StringComparison.Ordinal) || ViewsNumber(path) is not null);

    static long? ViewsNumber(string path) =>
        path.StartsWith(ViewsFile.Folder, StringComparison.Ordinal)
        && long.TryParse(Path.GetFileNameWithoutExtension(path), out var number)
        && VaultPath.Views(number) == path ? number : null;

    static async Task RefuseBesideRestoreAsync(IMedium medium, TimeProvider clock, CancellationToken stop)
    {
        if (await RestoreLease.StandingAsync(medium, clock, stop) is [var lease, ..])
            throw new RefusedException(
                $"a restore is reading the vault: {lease.Holder}, "
                    + $"until {lease.Expires:yyyy-MM-dd HH:mm:ss}+00 unless it goes on",
                "Prune again when it is done.");
    }
}
