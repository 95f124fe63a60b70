using System.Buffers;
using System.Globalization;
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
/// <param name="SignedBy">The public key, 64 hex digits, whose signature is the file's second line.</param>
public sealed record CommitHead(
    VaultFormat Format, long Number, Sha256 Prev, DateTimeOffset Time, WriterIdentity Writer,
    FileReference? Checkpoint = null, IReadOnlyList<FileReference>? SetAside = null, string? SignedBy = null);

/// <summary>A numbered file (commit, checkpoint) by its hash.</summary>
public sealed record FileReference(long Number, Sha256 Hash)
{
    /// <summary>As <c>--head</c> takes it and <c>status</c> prints it.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Number}:{Hash}");

    /// <exception cref="UsageException">Not <c>number:hash</c>.</exception>
    public static FileReference Parse(string text)
    {
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon > 0 && long.TryParse(text.AsSpan(0, colon), NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            && text.Length - colon - 1 == 64 && text.AsSpan(colon + 1).ContainsAnyExcept(Hex) is false)
            return new FileReference(number, new Sha256(text[(colon + 1)..]));
        throw new UsageException($"'{text}' is not a head", "It is a commit's number and hash, NUMBER:HASH, as 'crmbackup status' and 'crmbackup wait' print it.");
    }

    static readonly SearchValues<char> Hex = SearchValues.Create("0123456789abcdef");
}
