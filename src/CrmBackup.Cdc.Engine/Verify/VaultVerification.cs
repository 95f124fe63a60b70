using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Proves that a vault is as it was written: every commit from the first, every live segment, schema,
/// checkpoint and view, byte for byte. Reads only; may run beside a writer. Finds all damage, not just the
/// first.</summary>
public static class VaultVerification
{
    const int SegmentsAtOnce = 2;

    /// <param name="segmentsAddedAfter">Only segments that later commits added are hashed (what is new since the last
    /// time); all else is always checked whole.</param>
    /// <param name="trust">Where there are any: an end of the history that none of these keys has signed is damage.</param>
    /// <param name="head">A commit that was seen once: without it the history was cut off or replaced.</param>
    /// <exception cref="RefusedException">There is nothing like a vault, or it is a newer program's.</exception>
    public static async Task<VaultVerificationReport> RunAsync(
        IMedium medium, IProgress<VerificationProgress>? progress = null, long segmentsAddedAfter = 0,
        TrustedKeys? trust = null, FileReference? head = null, CancellationToken stop = default)
    {
        // Listed before the commits are read: a file that is committed meanwhile is no orphan.
        var listed = await ListAsync(medium, stop);
        var identity = await medium.ReadAsync(VaultPath.Identity, stop);
        if (identity is null && !listed.Keys.Any(path => path.StartsWith("commits/", StringComparison.Ordinal)))
            await BackupVault.OpenAsync(medium, stop);
        var chain = new VaultVerificationChain(medium, listed, trust);
        await chain.WalkAsync(identity is null ? null : Sha256.Of(identity), stop);
        if (head is not null)
            await chain.CheckHeadAsync(head, identity is null ? Sha256.Zero : Sha256.Of(identity), stop);
        var files = new VaultVerificationFiles(medium, chain, progress);

        var vault = await TryOpenAsync(medium, chain, files, trust, stop);
        var live = Live(vault, chain);
        var segments = live.Where(segment => IsNew(segment.Path)).ToList();
        var parity = vault is null ? [] : Parity(vault.State);
        files.BytesTotal = segments.Sum(segment => segment.Bytes) + parity.Sum(file => file.Bytes);
        await Parallel.ForEachAsync(
            segments, new ParallelOptions { MaxDegreeOfParallelism = SegmentsAtOnce, CancellationToken = stop },
            async (segment, token) => await files.CheckSegmentAsync(segment, token));
        foreach (var file in parity)
            await files.CheckParityAsync(file, stop);
        foreach (var schema in chain.Schemas)
            await files.CheckSchemaAsync(schema, stop);
        foreach (var checkpoint in chain.Checkpoints)
            await files.CheckCheckpointAsync(checkpoint, stop);
        foreach (var path in listed.Keys.Where(IsViews))
            await files.CheckViewsAsync(path, stop);

        var others = listed.Values.ExceptBy(live.Select(segment => segment.Path), file => file.Path).ToList();
        if (vault is not null && !files.Lost.IsEmpty && await UnfinishedCopy.NewestWholeAsync(vault, stop) is var complete && complete.State.Head < vault.State.Head)
            chain.Notes.Add($"everything up to commit {complete.State.Head} ({complete.State.CoveredTo?.Position.Lsn.ToString() ?? "nothing covered"}) is here: "
                + "if this is a copy that was made while the vault was written, copy again; a restore takes it as it was then");
        var whole = vault is null ? null : Coverage.Of(vault.State);
        var remaining = vault is null ? null : Coverage.Of(vault.State.Without(files.Lost));
        return new VaultVerificationReport(
            vault?.Identity.Id, chain.Head, chain.HeadHash, chain.Writers, live.Count, segments.Count, files.BytesDone,
            chain.Schemas.Count, chain.Checkpoints.Count,
            [.. files.Damage.OrderBy(found => found.Path, StringComparer.Ordinal)],
            [.. others.Where(file => IsOrphan(file.Path, chain)).ExceptBy(parity.Select(file => file.Path), file => file.Path)],
            [.. others.Where(file => chain.Retired.Contains(file.Path))],
            chain.Notes,
            whole is null ? [] : VaultVerificationEffect.Lost(whole, remaining!), whole is null ? [] : [.. whole.Marks.Except(remaining!.Marks)],
            remaining)
        {
            ParityFiles = parity.Count,
            WithoutParity = vault?.State.ParityGroups.Count > 0 ? ParityPlan.Uncovered(vault.State) : null,
        };

        bool IsNew(string path) => !chain.Live.TryGetValue(path, out var known) || known.Commit > segmentsAddedAfter;
    }

    /// <summary>Parity files, and the packs among the members.</summary>
    static List<ParityFile> Parity(VaultState state)
    {
        var packs = state.ParityPacks.Select(pack => pack.Path).ToHashSet();
        return [.. state.ParityGroups.Values.SelectMany(group => group.Files.Concat(group.Members.Where(member => packs.Contains(member.Path))))
            .DistinctBy(file => file.Path).OrderBy(file => file.Path, StringComparer.Ordinal)];
    }

    internal static async Task<Dictionary<string, MediumFile>> ListAsync(IMedium medium, CancellationToken stop)
    {
        var files = new Dictionary<string, MediumFile>();
        try
        {
            await foreach (var file in medium.ListAsync("", null, stop))
                if (!file.Path.StartsWith("tmp/", StringComparison.Ordinal))
                    files[file.Path] = file;
        }
        catch (MediumException absent) when (absent.Failure == MediumFailure.Absent)
        {
            throw await BackupVault.NoVaultAsync(medium, stop);
        }
        return files;
    }

    /// <summary>As every other command opens it: by its newest checkpoint, so that damage in older commits may not
    /// matter. Null when it cannot be opened.</summary>
    static async Task<BackupVault?> TryOpenAsync(
        IMedium medium, VaultVerificationChain chain, VaultVerificationFiles files, TrustedKeys? trust, CancellationToken stop)
    {
        try
        {
            var vault = await BackupVault.OpenAsync(medium, stop, trust: trust);
            // Commits may have come since the walk; none may have gone.
            if (vault.State.Head < chain.Head)
                files.Found(VaultPath.Commit(chain.Head), "is not reached by opening the vault");
            if (vault.State.Head == chain.Head && chain.Damage.Count == 0 && !SameSegments(vault.State, chain))
                files.Found("checkpoints", "say another live set than the commits do; the commits are the truth");
            return vault;
        }
        catch (FormatViolationException failure)
        {
            if (files.Damage.IsEmpty)
                files.Found(VaultPath.Identity, $"the vault cannot be opened: {failure.Message}");
            return null;
        }
        catch (RefusedException) when (!files.Damage.IsEmpty)
        {
            // A damaged identity may look like another program's.
            return null;
        }
    }

    /// <summary>The live set, by path. A damaged commit leaves holes in what the chain says; a checkpoint behind it
    /// does not.</summary>
    static List<SegmentEntry> Live(BackupVault? vault, VaultVerificationChain chain)
    {
        var segments = vault is not null && chain.Damage.Count > 0
            ? vault.State.Segments.Values : chain.Live.Values.Select(live => live.Segment);
        return [.. segments.OrderBy(segment => segment.Path, StringComparer.Ordinal)];
    }

    static bool SameSegments(VaultState state, VaultVerificationChain chain) =>
        state.Segments.Count == chain.Live.Count
        && state.Segments.All(entry => chain.Live.TryGetValue(entry.Key, out var live) && live.Segment == entry.Value);

    static bool IsViews(string path) =>
        path.StartsWith(ViewsFile.Folder, StringComparison.Ordinal) && VaultPath.IsValid(path);

    static bool IsOrphan(string path, VaultVerificationChain chain)
    {
        if (path == VaultPath.Identity || chain.Retired.Contains(path) || IsViews(path))
            return false;
        var parts = path.Split('/');
        return parts[0] switch
        {
            "commits" => !VaultVerificationChain.IsCommit(path, out _),
            "checkpoints" => !chain.Checkpoints.Any(known => VaultPath.Checkpoint(known.Number) == path),
            "schema" => parts.Length != 3 || !chain.Schemas.Any(schema => schema.Hex == parts[1]),
            _ => true,
        };
    }
}
