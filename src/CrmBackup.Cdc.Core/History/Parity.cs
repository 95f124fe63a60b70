namespace CrmBackup.Cdc.Core;

/// <summary>A file by its place, its length in bytes and the SHA-256 of them.</summary>
public sealed record ParityFile(string Path, long Bytes, Sha256 FileHash);

/// <summary>Files that protect each other: as many of members and parity files together may be lost as there are parity files, in each
/// block anew. The block at one offset of every member, behind a shorter one's end zeros, and of every parity file is one codeword.</summary>
/// <param name="Id">Unique in the vault's life.</param>
/// <param name="BlockBytes">A damaged block costs one loss at its offset, and none elsewhere.</param>
/// <param name="Members">In order: a member's place is its coefficient.</param>
/// <param name="Files">The parity files, in order.</param>
public sealed record ParityGroup(string Id, int BlockBytes, IReadOnlyList<ParityFile> Members, IReadOnlyList<ParityFile> Files)
{
    /// <summary>Members and parity files together: elements of GF(2^8).</summary>
    public const int FilesMax = 256;
}

/// <summary>A member of a group that holds copies of small files: <c>vault.json</c>, commits, and the schemas that these name.</summary>
public sealed record ParityPack(string Path, long FirstCommit, long LastCommit, IReadOnlyList<Sha256> Schemas);

/// <summary>What a commit changes of parity. A reader who knows nothing of it restores all the same.</summary>
public sealed record ParityContent
{
    public IReadOnlyList<ParityGroup> Groups { get; init => field = value ?? []; } = [];
    public IReadOnlyList<ParityPack> Packs { get; init => field = value ?? []; } = [];
    /// <summary>Ids of groups that count no more: others cover what they covered.</summary>
    public IReadOnlyList<string> Remove { get; init => field = value ?? []; } = [];
}
