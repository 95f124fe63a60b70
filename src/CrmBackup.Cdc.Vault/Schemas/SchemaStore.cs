using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Names the files of one schema with their hashes; its own hash names the folder, so a commit that holds it
/// vouches for all.</summary>
public sealed record SchemaManifest(int Format, IReadOnlyList<SchemaFile> Files)
{
    public const string FileName = "manifest.json";
    public const int CurrentFormat = 1;
}

public sealed record SchemaFile(string Name, long Bytes, Sha256 Sha256);

/// <summary>Schemas as dumped, one folder each. The same files stored twice are the same folder.</summary>
public sealed class SchemaStore(IMedium medium)
{
    /// <summary>Durable when it returns; part of the backup when a commit names the hash.</summary>
    /// <param name="files">By name: [a-z0-9._-].</param>
    public async Task<Sha256> PutAsync(IReadOnlyDictionary<string, byte[]> files, CancellationToken stop)
    {
        var manifest = new SchemaManifest(SchemaManifest.CurrentFormat,
        [
            .. files.OrderBy(file => file.Key, StringComparer.Ordinal)
                .Select(file => new SchemaFile(file.Key, file.Value.Length, Sha256.Of(file.Value))),
        ]);
        var bytes = JsonSerializer.SerializeToUtf8Bytes(manifest, SchemaJson.Default.SchemaManifest);
        var hash = Sha256.Of(bytes);
        // First: the manifest, which makes the schema whole, comes last.
        await medium.TryCreateAsync(
            VaultPath.SchemaFile(hash, SchemaBundle.FileName), SchemaBundle.Encode(bytes, manifest.Files.Select(file => (file.Name, files[file.Name]))), stop);
        foreach (var (name, content) in files)
            await CreateAsync(VaultPath.SchemaFile(hash, name), content, stop);
        await CreateAsync(VaultPath.SchemaFile(hash, SchemaManifest.FileName), bytes, stop);
        return hash;
    }

    /// <summary>All files of a schema by name, each proven to be what was stored.</summary>
    /// <exception cref="DifferenceException">A file is missing or changed.</exception>
    public async Task<IReadOnlyDictionary<string, byte[]>> ReadAsync(Sha256 hash, CancellationToken stop)
    {
        var files = new Dictionary<string, byte[]>();
        foreach (var file in (await ReadManifestAsync(hash, stop)).Files)
            files.Add(file.Name, await ReadProvenAsync(VaultPath.SchemaFile(hash, file.Name), file.Sha256, stop));
        return files;
    }

    public async Task<SchemaManifest> ReadManifestAsync(Sha256 hash, CancellationToken stop)
    {
        var path = VaultPath.SchemaFile(hash, SchemaManifest.FileName);
        return ParseManifest(await ReadProvenAsync(path, hash, stop), path);
    }

    public static SchemaManifest ParseManifest(byte[] bytes, string path)
    {
        SchemaManifest? manifest;
        try
        {
            manifest = JsonSerializer.Deserialize(bytes, SchemaJson.Default.SchemaManifest);
        }
        catch (JsonException failure)
        {
            throw new FormatViolationException($"{path} cannot be read: {failure.Message}", failure);
        }
        if (manifest is not { Format: SchemaManifest.CurrentFormat })
            throw new FormatViolationException($"{path} has a format that this program does not read");
        return manifest;
    }

    async Task CreateAsync(string path, byte[] bytes, CancellationToken stop)
    {
        if (!await medium.TryCreateAsync(path, bytes, stop))
            throw new DifferenceException(
                $"{path} exists with other bytes than its name says",
                "Something changed the vault: run 'crmbackup verify'.");
    }

    async Task<byte[]> ReadProvenAsync(string path, Sha256 expected, CancellationToken stop)
    {
        var bytes = await medium.ReadAsync(path, stop)
            ?? throw new DifferenceException($"{path} is missing", "Copy it from a second copy of the vault.");
        var actual = Sha256.Of(bytes);
        if (actual != expected)
            throw new DifferenceException(
                $"{path} hashes to {actual}, expected is {expected}", "Copy the file from a second copy of the vault.");
        return bytes;
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    RespectNullableAnnotations = true,
    RespectRequiredConstructorParameters = true,
    Converters = [typeof(Sha256Json)])]
[JsonSerializable(typeof(SchemaManifest))]
sealed partial class SchemaJson : JsonSerializerContext;
