using System.Text.Json;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>The read side of a vault: its identity and what its commits say together. Not thread-safe; states are
/// immutable.</summary>
public sealed class BackupVault
{
    BackupVault(IMedium medium, VaultIdentity identity, Sha256 identityHash, TrustedKeys? trust = null, long upTo = long.MaxValue)
    {
        (Trust, _upTo) = (trust, upTo);
        Medium = medium;
        Identity = identity;
        IdentityHash = identityHash;
        State = VaultState.Empty with { HeadHash = identityHash };
    }

    readonly long _upTo;

    public IMedium Medium { get; }

    public VaultIdentity Identity { get; }

    /// <summary>SHA-256 of <c>vault.json</c>: what commit 1 names.</summary>
    public Sha256 IdentityHash { get; }

    /// <summary>When there are any: the newest commit is signed by one of them, and through the chain vouches for all before.</summary>
    public TrustedKeys? Trust { get; }

    public VaultState State { get; private set; }

    /// <summary>The newest commit read; null when there is none yet.</summary>
    public Commit? Newest { get; private set; }

    /// <summary>Torn files behind the newest commit: a create was cut off there. The next writer sets them
    /// aside.</summary>
    public IReadOnlyList<FileReference> Torn { get; private set; } = [];

    /// <summary>The checkpoint that reading began at, or the newest written since.</summary>
    internal TrustedCheckpoint? Checkpoint { get; set; }

    /// <summary>Bytes of the commits read or written since <see cref="Checkpoint"/>.</summary>
    internal long BytesSinceCheckpoint { get; set; }

    /// <summary>Makes a vault on an empty medium.</summary>
    /// <exception cref="RefusedException">There is one already, or something else.</exception>
    public static async Task<BackupVault> CreateAsync(IMedium medium, VaultIdentity identity, CancellationToken stop)
    {
        if (await medium.ReadAsync(VaultPath.Identity, stop) is not null)
            throw new RefusedException(
                $"there is a vault at {medium.Location} already",
                "Choose an empty folder, or go on with that vault.");
        await foreach (var file in medium.ListAsync("", null, stop))
            if (!file.Path.StartsWith("tmp/", StringComparison.Ordinal))
                throw new RefusedException(
                    $"{medium.Location} is not empty: it holds {file.Path}",
                    "Choose an empty folder for a new vault.");
        var bytes = JsonSerializer.SerializeToUtf8Bytes(identity, CommitJson.Default.VaultIdentity);
        if (!await medium.TryCreateAsync(VaultPath.Identity, bytes, stop))
            throw new RefusedException(
                $"another process has just made a vault at {medium.Location}",
                "Only one vault can live there: use that one.");
        return new BackupVault(medium, identity, Sha256.Of(bytes));
    }

    /// <summary>Opens a vault and reads its newest state.</summary>
    /// <param name="expected">When given: the vault must be this one.</param>
    /// <param name="trust">When given: nothing is taken from the vault that is not signed by one of these keys.</param>
    /// <param name="upTo">Commits behind this one are not read, now and later: for reading alone.</param>
    /// <exception cref="RefusedException">No vault, another vault, a newer program's, or a history that is not signed.</exception>
    public static async Task<BackupVault> OpenAsync(
        IMedium medium, CancellationToken stop, Guid? expected = null, TrustedKeys? trust = null, long upTo = long.MaxValue)
    {
        var bytes = await medium.ReadAsync(VaultPath.Identity, stop) ?? throw await NoVaultAsync(medium, stop);
        var identity = ParseIdentity(medium, bytes);
        if (expected is { } id && identity.Id != id)
            throw new RefusedException(
                $"the vault at {medium.Location} is {identity.Id}, expected was {id}",
                "Another disk may be mounted there: mount the right one, or correct --vault.");
        var vault = new BackupVault(medium, identity, Sha256.Of(bytes), trust, upTo);
        vault.Checkpoint = await CheckpointStore.NewestTrustedAsync(medium, vault.IdentityHash, stop, upTo);
        vault.State = vault.Checkpoint?.State ?? vault.State;
        var chain = await vault.ReadOnAsync(stop);
        if (upTo == long.MaxValue)
            await chain.ProveEndAsync(stop);
        return vault;
    }

    /// <summary>Reads the commits that came since. Cheap when there are none.</summary>
    public async Task<VaultState> RefreshAsync(CancellationToken stop)
    {
        await ReadOnAsync(stop);
        return State;
    }

    async Task<CommitChain> ReadOnAsync(CancellationToken stop)
    {
        var chain = new CommitChain(Medium, State.Head, State.HeadHash);
        while (State.Head < _upTo && await chain.NextAsync(stop) is { } link)
            Accept(link, State.Apply(link));
        Torn = chain.Torn;
        if (Trust is not null && Newest is not null && !Trust.Holds(Newest.Head.SignedBy))
            throw new RefusedException(
                $"{VaultPath.Commit(Newest.Number)}, the newest commit of {Medium.Location}, is {SignedByWhom(Newest.Head)}",
                "'crmbackup verify' lists what is not signed. If nobody forged it, 'crmbackup keys adopt' signs what stands.");
        return chain;
    }

    internal static string SignedByWhom(CommitHead head) =>
        head.SignedBy is null ? "not signed" : $"signed by {head.SignedBy}, which is not a key that is trusted here";

    /// <summary>For the writer: its own commit needs no reading.</summary>
    internal VaultState Accept(CommitLink link, VaultState state)
    {
        (State, Newest, Torn) = (state, link.Commit, []);
        BytesSinceCheckpoint += link.Commit.Bytes;
        return state;
    }

    static VaultIdentity ParseIdentity(IMedium medium, byte[] bytes)
    {
        VaultIdentity identity;
        try
        {
            identity = JsonSerializer.Deserialize(bytes, CommitJson.Default.VaultIdentity)
                ?? throw new FormatViolationException($"{medium.Location}/{VaultPath.Identity} is null");
        }
        catch (JsonException failure)
        {
            throw new FormatViolationException(
                $"{medium.Location}/{VaultPath.Identity} cannot be read: {failure.Message}", failure);
        }
        VaultFold.RefuseNewer(identity.Format, $"the vault at {medium.Location}");
        return identity;
    }

    /// <summary>Why there is no vault here, for a person.</summary>
    public static async Task<RefusedException> NoVaultAsync(IMedium medium, CancellationToken stop)
    {
        try
        {
            await foreach (var file in medium.ListAsync("", null, stop))
                return new RefusedException(
                    $"there is no vault at {medium.Location}: it holds {file.Path}, but no vault.json",
                    "Correct --vault, or make a vault with 'crmbackup init' in an empty folder.");
        }
        catch (MediumException absent) when (absent.Failure == MediumFailure.Absent)
        {
            return new RefusedException(
                $"there is no vault at {medium.Location}: there is no such folder",
                "Mount the disk that holds it, correct --vault, or make a vault with 'crmbackup init'.");
        }
        return new RefusedException(
            $"there is no vault at {medium.Location}: the folder is empty",
            "Is the disk mounted? If there never was a vault, make one with 'crmbackup init'.");
    }
}
