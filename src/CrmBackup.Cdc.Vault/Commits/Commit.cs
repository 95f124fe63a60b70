using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>One commit, read from its file.</summary>
/// <param name="Hash">SHA-256 of the whole file as it lies on the medium.</param>
/// <param name="Prev">Hash of the commit before; of <c>vault.json</c> in commit 1.</param>
/// <param name="Bytes">Length of the file.</param>
public sealed record Commit(long Number, Sha256 Hash, Sha256 Prev, int Bytes, CommitHead Head, CommitContent Content);

/// <summary>What a commit says beside its content.</summary>
/// <param name="Time">The writer's clock.</param>
/// <param name="Checkpoint">A checkpoint written before this commit: with the hash standing here it can be
/// trusted.</param>
/// <param name="SetAside">Torn files with the numbers just before this one: they count as empty commits.</param>
public sealed record CommitHead(
    VaultFormat Format, long Number, Sha256 Prev, DateTimeOffset Time, WriterIdentity Writer,
    FileReference? Checkpoint = null, IReadOnlyList<FileReference>? SetAside = null);

/// <summary>A numbered file (commit, checkpoint) by its hash.</summary>
public sealed record FileReference(long Number, Sha256 Hash);
