using System.Buffers;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Proves that a vault is as it was written: every commit from the first, every live segment, schema, checkpoint and view, byte
/// for byte. Reads only; may run beside a writer. Finds all damage, not just the first.</summary>
public static class VaultVerification
{
    const int SegmentsAtOnce = 2;

    /// <param name="segmentsAddedAfter">Only segments that later commits added are hashed (what is new since the last time);
    /// all else is always checked whole.</param>
    /// <exception cref="RefusedException">There is nothing like a vault, or it is a newer program's.</exception>
    public static async Task<VaultVerificationReport> RunAsync(
        IMedium medium, IProgress<VerificationProgress>? progress = null, long segmentsAddedAfter = 0, CancellationToken stop = default)
    {
        // Listed before the commits are read: a file that is committed meanwhile is no orphan.
        var files = await ListAsync(medium, stop);
        var identity = await medium.ReadAsync(VaultPath.Identity, stop);
        if (identity is null && !files.Keys.Any(path => path.StartsWith("commits/", StringComparison.Ordinal)))
            await BackupVault.OpenAsync(medium, stop);
        var chain = new VaultVerificationChain(medium, files);
        await chain.WalkAsync(identity is null ? null : Sha256.Of(identity), stop);

        var damage = new ConcurrentQueue<VaultDamage>(chain.Damage);
        var vault = await TryOpenAsync(medium, chain, damage, stop);
        var live = Live(vault, chain);
        var segments = live.Where(segment => !chain.Live.TryGetValue(segment.Path, out var known) || known.Commit > segmentsAddedAfter).ToList();
        var meter = new ProgressMeter(progress, segments.Sum(segment => segment.Bytes));
        var lost = new ConcurrentBag<SegmentEntry>();
        await Parallel.ForEachAsync(
            segments, new ParallelOptions { MaxDegreeOfParallelism = SegmentsAtOnce, CancellationToken = stop },
            async (segment, token) =>
            {
                if (await DamageOfAsync(medium, segment, chain.Names, meter, token) is not { } found)
                    return;
                damage.Enqueue(found);
                lost.Add(segment);
            });
        foreach (var schema in chain.Schemas)
            await CheckSchemaAsync(medium, schema, damage, stop);
        foreach (var checkpoint in chain.Checkpoints)
            await CheckCheckpointAsync(medium, checkpoint, damage, chain.Notes, stop);
        await CheckViewsAsync(medium, files, damage, stop);

        var names = live.Select(segment => segment.Path).ToHashSet();
        return new VaultVerificationReport(
            vault?.Identity.Id, chain.Head, chain.Writers, live.Count, segments.Count, meter.Done,
            chain.Schemas.Count, chain.Checkpoints.Count,
            [.. damage.OrderBy(found => found.Path, StringComparer.Ordinal)],
            [.. files.Values.Where(file => !names.Contains(file.Path) && IsOrphan(file.Path, chain))],
            [.. files.Values.Where(file => !names.Contains(file.Path) && chain.Retired.Contains(file.Path))],
            chain.Notes,
            vault is null ? null : Coverage.Of(vault.State.Without(lost)));
    }

    /// <summary>The live set, by path. A damaged commit leaves holes in what the chain says; a checkpoint behind it does not.</summary>
    static List<SegmentEntry> Live(BackupVault? vault, VaultVerificationChain chain)
    {
        var segments = vault is not null && chain.Damage.Count > 0
            ? vault.State.Segments.Values : chain.Live.Values.Select(live => live.Segment);
        return [.. segments.OrderBy(segment => segment.Path, StringComparer.Ordinal)];
    }

    static async Task<Dictionary<string, MediumFile>> ListAsync(IMedium medium, CancellationToken stop)
    {
        var files = new Dictionary<string, MediumFile>();
        await foreach (var file in medium.ListAsync("", null, stop))
            if (!file.Path.StartsWith("tmp/", StringComparison.Ordinal))
                files[file.Path] = file;
        return files;
    }

    static async Task<VaultDamage?> DamageOfAsync(
        IMedium medium, SegmentEntry segment, Dictionary<int, string> names, ProgressMeter meter, CancellationToken stop)
    {
        string[] relations = segment.Relation == 0 ? [] : [names.GetValueOrDefault(segment.Relation, $"relation {segment.Relation}")];
        var buffer = ArrayPool<byte>.Shared.Rent(1 << 17);
        try
        {
            await using var file = medium.OpenRead(segment.Path);
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            for (int read; (read = await file.ReadAsync(buffer, stop)) > 0; meter.Advance(read, segment.Path))
                hash.AppendData(buffer, 0, read);
            var actual = Sha256.From(hash.GetHashAndReset());
            return actual == segment.FileHash ? null : new VaultDamage(segment.Path, What(segment, "is damaged"), segment.FileHash, actual, relations);
        }
        catch (MediumException missing) when (missing.Failure == MediumFailure.Missing)
        {
            return new VaultDamage(segment.Path, What(segment, "is missing"), segment.FileHash, null, relations);
        }
        catch (Exception unreadable) when (unreadable is MediumException or IOException)
        {
            return new VaultDamage(segment.Path, What(segment, $"cannot be read: {unreadable.Message}"), segment.FileHash, null, relations);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    static string What(SegmentEntry segment, string what) => segment.Kind switch
    {
        SegmentKind.Log => $"{what}: events of all tables from {segment.First} to {segment.Last}",
        SegmentKind.Changes => $"{what}: its events from {segment.First} to {segment.Last}",
        _ => $"{what}: rows of base {segment.BaseId}",
    };

    static async Task CheckSchemaAsync(IMedium medium, Sha256 hash, ConcurrentQueue<VaultDamage> damage, CancellationToken stop)
    {
        var manifest = VaultPath.SchemaFile(hash, SchemaManifest.FileName);
        if (await ExpectAsync(medium, manifest, hash, damage, stop) is null)
            return;
        foreach (var file in (await new SchemaStore(medium).ReadManifestAsync(hash, stop)).Files)
            await ExpectAsync(medium, VaultPath.SchemaFile(hash, file.Name), file.Sha256, damage, stop);
    }

    static async Task CheckCheckpointAsync(
        IMedium medium, FileReference checkpoint, ConcurrentQueue<VaultDamage> damage, List<string> notes, CancellationToken stop)
    {
        var path = VaultPath.Checkpoint(checkpoint.Number);
        if (await medium.ReadAsync(path, stop) is null)
            notes.Add($"{path} is missing: opening the vault takes longer, nothing is lost");
        else if (await ExpectAsync(medium, path, checkpoint.Hash, damage, stop) is { } file)
            CheckpointStore.Parse(checkpoint.Number, file);
    }

    static async Task CheckViewsAsync(
        IMedium medium, Dictionary<string, MediumFile> files, ConcurrentQueue<VaultDamage> damage, CancellationToken stop)
    {
        foreach (var path in files.Keys.Where(path => path.StartsWith(ViewsFile.Folder, StringComparison.Ordinal) && VaultPath.IsValid(path)))
            if (await medium.ReadAsync(path, stop) is { } file && !ViewsFile.IsSound(file))
                damage.Enqueue(new VaultDamage(path, "is not the text that its first line says; 'crmbackup sql' prints it anew", null, Sha256.Of(file), []));
    }

    /// <returns>The file's bytes when they are the expected ones.</returns>
    static async Task<byte[]?> ExpectAsync(
        IMedium medium, string path, Sha256 expected, ConcurrentQueue<VaultDamage> damage, CancellationToken stop)
    {
        var file = await medium.ReadAsync(path, stop);
        var actual = file is null ? (Sha256?)null : Sha256.Of(file);
        if (actual == expected)
            return file;
        damage.Enqueue(new VaultDamage(path, file is null ? "is missing" : "is damaged", expected, actual, []));
        return null;
    }

    /// <summary>As every other command opens it: by its newest checkpoint, so that damage in older commits may not matter.</summary>
    static async Task<BackupVault?> TryOpenAsync(
        IMedium medium, VaultVerificationChain chain, ConcurrentQueue<VaultDamage> damage, CancellationToken stop)
    {
        try
        {
            var vault = await BackupVault.OpenAsync(medium, stop);
            // Commits after our walk may have come; none before it may be missing.
            if (vault.State.Head < chain.Head)
                damage.Enqueue(new VaultDamage(VaultPath.Commit(chain.Head), "is not reached by opening the vault", null, null, []));
            if (vault.State.Head == chain.Head && chain.Damage.Count == 0 && !SameSegments(vault.State, chain))
                damage.Enqueue(new VaultDamage(
                    "checkpoints", "say another live set than the commits do; delete them, the commits are the truth", null, null, []));
            return vault;
        }
        catch (Exception failure) when (failure is FormatViolationException || failure is RefusedException && !damage.IsEmpty)
        {
            if (damage.IsEmpty)
                damage.Enqueue(new VaultDamage(VaultPath.Identity, $"the vault cannot be opened: {failure.Message}", null, null, []));
            return null;
        }
    }

    static bool SameSegments(VaultState state, VaultVerificationChain chain) =>
        state.Segments.Count == chain.Live.Count
        && state.Segments.All(entry => chain.Live.TryGetValue(entry.Key, out var live) && live.Segment == entry.Value);

    static bool IsOrphan(string path, VaultVerificationChain chain)
    {
        if (path == VaultPath.Identity || chain.Retired.Contains(path))
            return false;
        var parts = path.Split('/');
        return parts[0] switch
        {
            "commits" => Path.GetFileNameWithoutExtension(path) is var name
                && !(long.TryParse(name, out var number) && VaultPath.Commit(number) == path),
            "checkpoints" => !chain.Checkpoints.Any(checkpoint => VaultPath.Checkpoint(checkpoint.Number) == path),
            "schema" => parts.Length != 3 || !chain.Schemas.Any(schema => schema.Hex == parts[1]),
            "sql" => false,
            _ => true,
        };
    }

    /// <summary>Counts from several readers at once.</summary>
    sealed class ProgressMeter(IProgress<VerificationProgress>? progress, long total)
    {
        long _done;

        public long Done => Interlocked.Read(ref _done);

        public void Advance(int bytes, string path)
        {
            var done = Interlocked.Add(ref _done, bytes);
            progress?.Report(new VerificationProgress(done, total, path));
        }
    }
}
