using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The parity that lies on media, by what its files say of themselves: the commits that name it may be what is to be mended.</summary>
sealed class ParityOnMedia
{
    readonly IReadOnlyList<IMedium> _media;
    readonly List<ParityReader> _groups = [];
    readonly List<string> _packs = [];
    /// <summary>The packs with a file.</summary>
    readonly Dictionary<string, List<string>> _packsOf = [];
    (string Path, IReadOnlyDictionary<string, byte[]> Files)? _read;

    ParityOnMedia(IReadOnlyList<IMedium> media) => _media = media;

    /// <summary>The newest commit in any pack of the vault's own medium: up to there it had them. A copy may have gone on.</summary>
    public long LastCommit { get; private set; }

    /// <param name="media">The vault's own, then others with copies of it.</param>
    public static async Task<ParityOnMedia> ReadAsync(IReadOnlyList<IMedium> media, CancellationToken stop)
    {
        var parity = new ParityOnMedia(media);
        var heads = new Dictionary<string, ParityHead>();
        var own = new HashSet<string>();
        foreach (var medium in media)
        {
            await foreach (var file in medium.ListAsync(VaultPath.ParityFolder, null, stop))
            {
                if (!VaultPath.IsValid(file.Path))
                    continue;
                if (file.Path.EndsWith(VaultPath.PackExtension, StringComparison.Ordinal) && !parity._packs.Contains(file.Path))
                    parity._packs.Add(file.Path);
                else if (TryHead(medium, file.Path) is { } head)
                    heads.TryAdd(head.Group.Id, head);
            }
            if (medium == media[0])
                own.UnionWith(parity._packs.Concat(PacksOf(heads)));
        }
        parity._groups.AddRange(heads.Values.Select(head => new ParityReader(head, media)));
        // A pack may be gone itself, and its group know it.
        parity._packs.AddRange(PacksOf(heads).Except(parity._packs).ToList());
        foreach (var pack in parity._packs)
            foreach (var path in (await parity.PackAsync(pack, stop)).Keys)
            {
                if (!parity._packsOf.TryGetValue(path, out var packs))
                    parity._packsOf.Add(path, packs = []);
                packs.Add(pack);
                if (own.Contains(pack) && VaultVerificationChain.IsCommit(path, out var number))
                    parity.LastCommit = Math.Max(parity.LastCommit, number);
            }
        return parity;
    }

    static IEnumerable<string> PacksOf(Dictionary<string, ParityHead> heads) => heads.Values.SelectMany(head => head.Group.Members)
        .Select(member => member.Path).Where(path => path.EndsWith(VaultPath.PackExtension, StringComparison.Ordinal));

    /// <summary>What packs hold under this path: each whole, and not always the same.</summary>
    public async IAsyncEnumerable<byte[]> CopiesAsync(string path, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken stop)
    {
        foreach (var pack in _packsOf.GetValueOrDefault(path) ?? [])
            yield return (await PackAsync(pack, stop))[path];
    }

    /// <summary>Writes the file as its group has it.</summary>
    /// <returns>Null, or why it cannot be: no group has it, or too much of the group is damaged.</returns>
    public async Task<string?> MendAsync(string path, Stream output, CancellationToken stop)
    {
        var why = "no parity covers it";
        foreach (var group in _groups)
            if (group.ShardOf(path) is { } shard)
            {
                output.SetLength(0);
                if (await group.MendAsync(shard, output, stop) is not { } reason)
                    return null;
                why = reason;
            }
        return why;
    }

    async Task<IReadOnlyDictionary<string, byte[]>> PackAsync(string path, CancellationToken stop)
    {
        if (_read is { } last && last.Path == path)
            return last.Files;
        IReadOnlyDictionary<string, byte[]>? files = null;
        foreach (var medium in _media)
            files ??= await medium.ReadAsync(path, stop) is { } bytes ? PackFile.TryDecode(bytes) : null;
        if (files is null)
        {
            using var mended = new MemoryStream();
            files = await MendAsync(path, mended, stop) is null ? PackFile.TryDecode(mended.GetBuffer().AsSpan(0, (int)mended.Length)) : null;
        }
        files ??= new Dictionary<string, byte[]>();
        _read = (path, files);
        return files;
    }

    static ParityHead? TryHead(IMedium medium, string path)
    {
        try
        {
            using var file = medium.OpenRead(path);
            // Named by its group and place: a file that was swapped with another is damaged, not another group.
            return ParityHead.TryRead(file) is { } head && VaultPath.Parity(head.Group.Id, head.Place) == path ? head : null;
        }
        catch (Exception unreadable) when (unreadable is MediumException or IOException)
        {
            return null;
        }
    }
}
