using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>One link of the chain: a commit, with the torn files before it that it sets aside.</summary>
public sealed record CommitLink(IReadOnlyList<FileReference> SetAside, Commit Commit);

/// <summary>Reads commits one after the other and proves that each names the one before. Holds one commit at a
/// time.</summary>
public sealed class CommitChain(IMedium medium, long head, Sha256 headHash)
{
    /// <summary>The newest number read, and the hash that the next commit must name.</summary>
    public long Head { get; private set; } = head;

    public Sha256 HeadHash { get; private set; } = headHash;

    /// <summary>Torn files behind the head that no later commit sets aside: a writer was cut off there.</summary>
    public IReadOnlyList<FileReference> Torn { get; private set; } = [];

    /// <summary>The next commit; null at the end.</summary>
    public async Task<CommitLink?> NextAsync(CancellationToken stop)
    {
        var (torn, file) = await ScanAsync(stop);
        if (file is null)
        {
            Torn = torn;
            return null;
        }
        // What looked torn may have been a commit in the making (where a medium creates in place): look again.
        if (torn.Count > 0 && !(await ScanAsync(stop)).Torn.SequenceEqual(torn))
            return await NextAsync(stop);
        var number = Head + torn.Count + 1;
        var commit = CommitCodec.Parse(number, file);
        if (!torn.SequenceEqual(commit.Head.SetAside ?? []))
            throw new FormatViolationException(torn.Count > 0
                ? $"commit {torn[0].Number} is torn, and commit {number} does not set it aside"
                : $"commit {number} sets commits aside that are not torn");
        var before = torn.Count > 0 ? torn[^1].Hash : HeadHash;
        if (commit.Prev != before)
            throw new FormatViolationException(
                $"the chain is broken: commit {number} follows a file with the hash {commit.Prev}, "
                + $"the file before it has {before}");
        Head = number;
        HeadHash = commit.Hash;
        Torn = [];
        return new CommitLink(torn, commit);
    }

    /// <summary>Torn files behind the head, and the whole one after them if there is one.</summary>
    async Task<(List<FileReference> Torn, byte[]? File)> ScanAsync(CancellationToken stop)
    {
        var torn = new List<FileReference>();
        for (var number = Head + 1; ; number++)
        {
            var file = await medium.ReadAsync(VaultPath.Commit(number), stop);
            if (file is null || !CommitCodec.IsTorn(file))
                return (torn, file);
            torn.Add(new FileReference(number, Sha256.Of(file)));
        }
    }

    /// <summary>Commits without holes: nothing may lie behind the end, else the newest state is not what we
    /// read.</summary>
    public async Task ProveEndAsync(CancellationToken stop)
    {
        var end = Head + Torn.Count;
        await foreach (var file in medium.ListAsync("commits/", VaultPath.Commit(end), stop))
        {
            // Another writer may have gone on meanwhile: then the chain continues.
            if (await medium.ReadAsync(VaultPath.Commit(end + 1), stop) is not null)
                return;
            throw new FormatViolationException($"commit {end + 1} is missing, although there is {file.Path}");
        }
    }
}
