using System.Text;
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
    /// <summary>Tells apart what would else have the same folder.</summary>
    const string CopyFile = "copy";
    const int CopiesMax = 100;

    /// <summary>Durable when it returns; part of the backup when a commit names the hash. Where files are created in place, one that a power cut
    /// tore keeps its name: the schema then gets another folder, by one file more.</summary>
    /// <param name="files">By name: [a-z0-9._-].</param>
    /// <exception cref="DifferenceException">A file was changed.</exception>
    public async Task<Sha256> PutAsync(IReadOnlyDictionary<string, byte[]> files, CancellationToken stop)
    {
        for (var copy = 1; ; copy++)
        {
            var all = copy == 1 ? files : new Dictionary<string, byte[]>(files) { [CopyFile] = Encoding.UTF8.GetBytes($"{copy}") };
            var (hash, differs) = await TryPutAsync(all, stop);
            if (differs is null)
                return hash;
            if (medium.CreatesWhole || copy == CopiesMax)
                throw new DifferenceException($"{differs} exists with other bytes than its name says", "Something changed the vault: run 'crmbackup verify'.");
        }
    }

    /// <returns>And the file that exists with other bytes.</returns>
    async Task<(Sha256 Hash, string? Differs)> TryPutAsync(IReadOnlyDictionary<string, byte[]> files, CancellationToken stop)
    {
        var manifest = new SchemaManifest(SchemaManifest.CurrentFormat,
        [
            .. files.OrderBy(file => file.Key, StringComparer.Ordinal)
                .Select(file => new SchemaFile(file.Key, file.Value.Length, Sha256.Of(file.Value))),
        ]);
        var bytes = JsonSerializer.SerializeToUtf8Bytes(manifest, SchemaJson.Default.SchemaManifest);
        var hash = Sha256.Of(bytes);
        // First: the manifest, which makes the schema whole, comes last.
        var bundle = SchemaBundle.Encode(bytes, manifest.Files.Select(file => (file.Name, files[file.Name])));
        foreach (var (name, content) in (IEnumerable<(string, byte[])>)
            [(SchemaBundle.FileName, bundle), .. files.Select(file => (file.Key, file.Value)), (SchemaManifest.FileName, bytes)])
            if (!await medium.TryCreateAsync(VaultPath.SchemaFile(hash, name), content, stop) && (name != SchemaBundle.FileName || !medium.CreatesWhole))
                return (hash, VaultPath.SchemaFile(hash, name));
        return (hash, null);
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
