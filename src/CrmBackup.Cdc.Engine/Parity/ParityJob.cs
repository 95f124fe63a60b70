using System.Security.Cryptography;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>Writes the parity files of one group, and its pack. Commits nothing: what it returns is for the archive to commit. A job that is
/// cut off leaves orphans.</summary>
public sealed class ParityJob(IMedium medium, VaultIdentity identity, ILogger log)
{
    /// <param name="stem">Begins the new files' names, unique in the vault's life.</param>
    /// <exception cref="DifferenceException">A file that is to be protected is damaged already.</exception>
    public async Task<CommitContent> RunAsync(ParityPlan plan, VaultState state, string stem, CancellationToken stop)
    {
        var members = plan.Members.ToList();
        var packs = new List<ParityPack>();
        if (plan.PackFrom is { } first)
        {
            var (pack, file) = await PackAsync(first, state.Head, stem, stop);
            packs.Add(pack);
            members.Add(file);
        }
        var groups = new List<ParityGroup>();
        if (members.Count > 0)
            groups.Add(await EncodeAsync(members, plan.Options.Files, stem, stop));
        return new CommitContent { Parity = new ParityContent { Groups = groups, Packs = packs, Remove = plan.Remove } };
    }

    async Task<(ParityPack Pack, ParityFile File)> PackAsync(long first, long head, string stem, CancellationToken stop)
    {
        var files = new List<(string Path, byte[] Bytes)> { (VaultPath.Identity, await ReadAsync(VaultPath.Identity, stop)) };
        var schemas = new List<Sha256>();
        var store = new SchemaStore(medium);
        var (last, bytes) = (first - 1, 0L);
        while (last < head && (bytes < PackFile.ContentBytes || last < first))
        {
            var path = VaultPath.Commit(++last);
            Add(path, await ReadAsync(path, stop));
            if (CommitCodec.IsTorn(files[^1].Bytes))
                continue;
            foreach (var hash in CommitCodec.Parse(last, files[^1].Bytes).Content.Schemas.Select(schema => schema.Hash).Distinct().Except(schemas).ToList())
            {
                schemas.Add(hash);
                Add(VaultPath.SchemaFile(hash, SchemaManifest.FileName), await ReadAsync(VaultPath.SchemaFile(hash, SchemaManifest.FileName), stop));
                foreach (var (name, content) in await store.ReadAsync(hash, stop))
                    Add(VaultPath.SchemaFile(hash, name), content);
            }
        }
        var pack = PackFile.Encode(files);
        Invariant.Holds(PackFile.TryDecode(pack) is { } read && read.Count == files.Count, "a pack does not read back");
        var packPath = VaultPath.Pack(stem);
        var temporary = medium.NewTemporaryPath("pack");
        await using (var output = medium.CreateTemporary(temporary, bufferSize: 0))
            await output.WriteAsync(pack, stop);
        await medium.PublishAsync(temporary, packPath, stop);
        return (new ParityPack(packPath, first, last, schemas), new ParityFile(packPath, pack.Length, Sha256.Of(pack)));

        void Add(string path, byte[] content)
        {
            files.Add((path, content));
            bytes += content.Length;
        }
    }

    async Task<byte[]> ReadAsync(string path, CancellationToken stop) => await medium.ReadAsync(path, stop)
        ?? throw new DifferenceException($"{path} is missing", "Mend the vault first: crmbackup verify --repair.");

    async Task<ParityGroup> EncodeAsync(List<ParityFile> members, int parities, string stem, CancellationToken stop)
    {
        var description = ParityDescription.Of(identity.Id, stem, parities, members);
        var temporaries = Enumerable.Range(0, parities).Select(place => medium.NewTemporaryPath("parity")).ToList();
        try
        {
            var files = await ParityWriter.WriteAsync(description, medium, temporaries, stop);
            for (var place = 0; place < parities; place++)
                await medium.PublishAsync(temporaries[place], files[place].Path, stop);
            log.ParityWritten(members.Count, members.Sum(member => member.Bytes), parities, files.Sum(file => file.Bytes));
            return new ParityGroup(stem, description.BlockBytes, members, files);
        }
        catch
        {
            foreach (var temporary in temporaries.Where(File.Exists))
                medium.DeleteTemporary(temporary);
            throw;
        }
    }
}
