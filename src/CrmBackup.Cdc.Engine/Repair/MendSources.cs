using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>What a damaged file of a vault can be made from again. Everything that is given back was proven: by its hash, or where no hash
/// is known by what it is.</summary>
sealed class MendSources
{
    readonly IMedium _medium;
    readonly IReadOnlyList<IMedium> _copies;

    MendSources(IMedium medium, IReadOnlyList<IMedium> copies, ParityOnMedia parity) => (_medium, _copies, Parity) = (medium, copies, parity);

    public ParityOnMedia Parity { get; }

    /// <param name="copies">Other vaults with the same content.</param>
    public static async Task<MendSources> ReadAsync(IMedium medium, IReadOnlyList<IMedium> copies, CancellationToken stop) =>
        new(medium, copies, await ParityOnMedia.ReadAsync([medium, .. copies], stop));

    /// <summary>Writes the file as it was, and proves it.</summary>
    /// <param name="output">Seekable and readable; emptied between tries.</param>
    /// <returns>From what it was made; null with the reason when it cannot be.</returns>
    public async Task<(string? From, string Why)> MendAsync(VaultDamage damage, Stream output, CancellationToken stop)
    {
        await foreach (var (from, bytes) in SmallAsync(damage, stop))
            if (IsProven(damage, bytes))
            {
                output.SetLength(0);
                await output.WriteAsync(bytes, stop);
                return (from, "");
            }
        if (damage.Expected is not { } expected)
            return (null, "nothing says what it was");
        var why = await Parity.MendAsync(damage.Path, output, stop);
        if (why is not null && damage.Path.EndsWith(VaultPath.ParityExtension, StringComparison.Ordinal))
            why = await ParityAnew.WriteAsync(_medium, damage.Path, output, stop);
        if (why is null && await HashAsync(output, stop) == expected)
            return ("parity", "");
        foreach (var copy in _copies)
            if (await TryCopyAsync(copy, damage.Path, expected, output, stop))
                return (copy.Location, "");
        return (null, why ?? "what parity makes of it is not the file that was committed");
    }

    /// <summary>Candidates that are read whole: commits, schemas, the identity.</summary>
    async IAsyncEnumerable<(string From, byte[] Bytes)> SmallAsync(
        VaultDamage damage, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken stop)
    {
        var path = damage.Path;
        if (SchemaOf(path) is var (schema, file))
            foreach (var medium in _copies.Prepend(_medium))
                if (await BesideAsync(medium, schema, file, stop) is { } beside)
                    yield return (medium == _medium ? "the schema's other files" : medium.Location, beside);
        await foreach (var copy in Parity.CopiesAsync(path, stop))
            yield return ("a pack", copy);
        if (damage.Expected is null || VaultVerificationChain.IsCommit(path, out _))
            foreach (var medium in _copies)
                if (await medium.ReadAsync(path, stop) is { } copy)
                    yield return (medium.Location, copy);
    }

    /// <summary>The bundle holds the files, and the files make the bundle.</summary>
    static async Task<byte[]?> BesideAsync(IMedium medium, Sha256 schema, string file, CancellationToken stop)
    {
        if (file != SchemaBundle.FileName)
            return await medium.ReadAsync(VaultPath.SchemaFile(schema, SchemaBundle.FileName), stop) is { } bundle
                && SchemaBundle.TryDecode(bundle, out var decoded) && decoded.Hash == schema
                ? file == SchemaManifest.FileName ? decoded.Manifest : decoded.Files.GetValueOrDefault(file) : null;
        try
        {
            var manifest = await medium.ReadAsync(VaultPath.SchemaFile(schema, SchemaManifest.FileName), stop);
            return manifest is null ? null : new SalvagedSchema(manifest, await new SchemaStore(medium).ReadAsync(schema, stop)).ToBundle();
        }
        catch (BackupException)
        {
            return null;
        }
    }

    static bool IsProven(VaultDamage damage, byte[] bytes)
    {
        if (damage.Expected is { } expected)
            return Sha256.Of(bytes) == expected;
        // The chain decides whether it is the commit: here that it is one. A bundle and views prove themselves.
        return VaultVerificationChain.IsCommit(damage.Path, out var number) ? CommitCodec.TryParse(number, bytes, out _)
            : SchemaOf(damage.Path) is (var schema, SchemaBundle.FileName) ? SchemaBundle.TryDecode(bytes, out var bundle) && bundle.Hash == schema
            : damage.Path.StartsWith(ViewsFile.Folder, StringComparison.Ordinal) && ViewsFile.IsSound(bytes);
    }

    static (Sha256 Schema, string File)? SchemaOf(string path) =>
        path.Split('/') is ["schema", { Length: 64 } hash, var file] ? (new Sha256(hash), file) : null;

    static async Task<bool> TryCopyAsync(IMedium copy, string path, Sha256 expected, Stream output, CancellationToken stop)
    {
        try
        {
            output.SetLength(0);
            await using var input = copy.OpenRead(path);
            await input.CopyToAsync(output, stop);
        }
        catch (Exception unreadable) when (unreadable is MediumException or IOException)
        {
            return false;
        }
        return await HashAsync(output, stop) == expected;
    }

    static async Task<Sha256> HashAsync(Stream output, CancellationToken stop)
    {
        await output.FlushAsync(stop);
        output.Position = 0;
        return Sha256.From(await System.Security.Cryptography.SHA256.HashDataAsync(output, stop));
    }
}
