using System.Buffers;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Holds the files that the commits name against their hashes. Several segments may be checked at
/// once.</summary>
sealed class VaultVerificationFiles(
    IMedium medium, VaultVerificationChain chain, IProgress<VerificationProgress>? progress)
{
    long _bytesDone;

    public ConcurrentQueue<VaultDamage> Damage { get; } = new(chain.Damage);

    /// <summary>Segments whose rows cannot be had.</summary>
    public ConcurrentBag<SegmentEntry> Lost { get; } = [];

    public long BytesTotal { get; set; }

    public long BytesDone => Interlocked.Read(ref _bytesDone);

    public void Found(
        string path, string what, Sha256? expected = null, Sha256? actual = null, params string[] relations) =>
        Damage.Enqueue(new VaultDamage(path, what, expected, actual, relations));

    public async Task CheckSegmentAsync(SegmentEntry segment, CancellationToken stop)
    {
        var (what, actual) = await LookAsync(segment.Path, stop);
        if (actual == segment.FileHash)
            return;
        Lost.Add(segment);
        Found(segment.Path, $"{what}; {Holds(segment)}", segment.FileHash, actual, NameOf(segment));
    }

    public async Task CheckParityAsync(ParityFile file, CancellationToken stop)
    {
        var (what, actual) = await LookAsync(file.Path, stop);
        if (actual != file.FileHash)
            Found(file.Path, $"{what}; what it protects is not damaged by that", file.FileHash, actual);
    }

    async Task<(string What, Sha256? Actual)> LookAsync(string path, CancellationToken stop)
    {
        try
        {
            return ("is damaged", await HashAsync(path, stop));
        }
        catch (MediumException missing) when (missing.Failure == MediumFailure.Missing)
        {
            return ("is missing", null);
        }
        catch (Exception unreadable) when (unreadable is MediumException or IOException)
        {
            return ($"cannot be read: {unreadable.Message}", null);
        }
    }

    public async Task CheckSchemaAsync(Sha256 hash, CancellationToken stop)
    {
        if (await ExpectAsync(VaultPath.SchemaFile(hash, SchemaManifest.FileName), hash, stop) is null)
            return;
        foreach (var file in (await new SchemaStore(medium).ReadManifestAsync(hash, stop)).Files)
            await ExpectAsync(VaultPath.SchemaFile(hash, file.Name), file.Sha256, stop);
        var bundle = VaultPath.SchemaFile(hash, SchemaBundle.FileName);
        if (await medium.ReadAsync(bundle, stop) is not { } bytes)
            chain.Notes.Add($"{bundle} is missing: without it this schema cannot be carved out of a raw medium, nothing is lost");
        else if (!SchemaBundle.TryDecode(bytes, out var schema) || schema.Hash != hash)
            Found(bundle, "is damaged: the schema's files beside it are not", actual: Sha256.Of(bytes));
    }

    public async Task CheckCheckpointAsync(FileReference checkpoint, CancellationToken stop)
    {
        var path = VaultPath.Checkpoint(checkpoint.Number);
        if (await medium.ReadAsync(path, stop) is null)
            chain.Notes.Add($"{path} is missing: opening the vault takes longer, nothing is lost");
        else if (await ExpectAsync(path, checkpoint.Hash, stop) is { } file)
            CheckpointStore.Parse(checkpoint.Number, file);
    }

    public async Task CheckViewsAsync(string path, CancellationToken stop)
    {
        if (await medium.ReadAsync(path, stop) is { } file && !ViewsFile.IsSound(file))
            Found(path, "is not the text that was written; 'crmbackup sql' prints it anew", actual: Sha256.Of(file));
    }

    /// <returns>The file's bytes when they are the expected ones.</returns>
    async Task<byte[]?> ExpectAsync(string path, Sha256 expected, CancellationToken stop)
    {
        var file = await medium.ReadAsync(path, stop);
        Sha256? actual = file is null ? null : Sha256.Of(file);
        if (actual == expected)
            return file;
        Found(path, file is null ? "is missing" : "is damaged", expected, actual);
        return null;
    }

    async Task<Sha256> HashAsync(string path, CancellationToken stop)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(1 << 17);
        try
        {
            await using var file = medium.OpenRead(path);
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            for (int read; (read = await file.ReadAsync(buffer, stop)) > 0;)
            {
                hash.AppendData(buffer, 0, read);
                var done = Interlocked.Add(ref _bytesDone, read);
                progress?.Report(new VerificationProgress(done, BytesTotal, path));
            }
            return Sha256.From(hash.GetHashAndReset());
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    string[] NameOf(SegmentEntry segment) =>
        segment.Relation == 0 ? [] : [chain.Names.GetValueOrDefault(segment.Relation, $"relation {segment.Relation}")];

    static string Holds(SegmentEntry segment) => segment.Kind switch
    {
        SegmentKind.Log => $"it holds events of all tables from {segment.First} to {segment.Last}",
        SegmentKind.Changes => $"it holds events from {segment.First} to {segment.Last}",
        _ => $"it holds rows of base {segment.BaseId}",
    };
}
