using System.Text.Json;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Looks for what is left of a vault in a folder, by what files hold and not by what they are called. Links are not followed.</summary>
sealed class FolderSearch(string folder, int firstRows, IProgress<VerificationProgress>? progress)
{
    const int SmallBytesMax = 1 << 20;

    public IEnumerable<SalvagedPiece> Pieces(CancellationToken stop)
    {
        var options = new EnumerationOptions
        {
            RecurseSubdirectories = true,
            AttributesToSkip = FileAttributes.ReparsePoint,
            IgnoreInaccessible = false,
        };
        var files = new DirectoryInfo(folder).EnumerateFiles("*", options).OrderBy(file => file.FullName, StringComparer.Ordinal).ToList();
        var (done, total) = (0L, files.Sum(file => file.Length));
        foreach (var file in files)
        {
            stop.ThrowIfCancellationRequested();
            if (Look(file) is { } piece)
                yield return piece;
            progress?.Report(new VerificationProgress(done += file.Length, total, file.FullName));
        }
    }

    SalvagedPiece? Look(FileInfo file)
    {
        Span<byte> head = stackalloc byte[SchemaBundle.HeaderLength];
        using (var stream = file.OpenRead())
            head = head[..stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false)];
        if (head.StartsWith(LoneSegmentReader.Magic) || file.Extension == ".parquet")
            return new SalvagedPiece.Segment(LoneSegmentReader.Examine(file.OpenRead, file.FullName, firstRows), file.OpenRead);
        if (SchemaBundle.LengthOf(head) is { } length)
            return length == file.Length && SchemaBundle.TryDecode(File.ReadAllBytes(file.FullName), out var schema)
                ? new SalvagedPiece.Schema(schema) : new SalvagedPiece.Fragment(file.FullName, "is a damaged schema");
        if (file.Name == SchemaManifest.FileName && file.Length <= SmallBytesMax)
            return SchemaBeside(file);
        return file.Name == VaultPath.Identity && file.Length <= SmallBytesMax ? IdentityIn(file) : null;
    }

    /// <summary>A schema whose bundle may be the damaged part.</summary>
    static SalvagedPiece? SchemaBeside(FileInfo manifest)
    {
        try
        {
            var bytes = File.ReadAllBytes(manifest.FullName);
            var files = new Dictionary<string, byte[]>();
            foreach (var file in SchemaStore.ParseManifest(bytes, manifest.FullName).Files)
            {
                var path = Path.Combine(manifest.DirectoryName!, VaultPath.Check(file.Name));
                if (!File.Exists(path) || File.ReadAllBytes(path) is var content && Sha256.Of(content) != file.Sha256)
                    return new SalvagedPiece.Fragment(path, "is missing or damaged: the schema is taken from its bundle, if that is whole");
                files.Add(file.Name, content);
            }
            return new SalvagedPiece.Schema(new SalvagedSchema(bytes, files));
        }
        catch (FormatViolationException damaged)
        {
            return new SalvagedPiece.Fragment(manifest.FullName, damaged.Message);
        }
    }

    static SalvagedPiece? IdentityIn(FileInfo file)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(file.FullName), CoreJson.Default.VaultIdentity) is { } identity
                ? new SalvagedPiece.Identity(identity) : null;
        }
        catch (JsonException)
        {
            return new SalvagedPiece.Fragment(file.FullName, "cannot be read: the segments say whose they are");
        }
    }
}
