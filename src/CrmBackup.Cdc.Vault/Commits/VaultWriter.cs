using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CrmBackup.Cdc.Vault;

/// <summary>The one writer of a vault. Opening it fences every earlier writer: their next commit finds its number
/// taken.
/// After an exception from <see cref="CommitAsync"/> open a new one: whether the commit exists is only known by
/// reading.
/// Commits come from one caller at a time; names may be asked for from several threads.</summary>
public sealed class VaultWriter : IDisposable
{
    const string LockName = "writer.lock";
    public const string LockPath = $"tmp/{LockName}";

    /// <summary>A torn newest file is another writer's crash only when nobody goes on writing it for so long.</summary>
    static readonly TimeSpan TornSettles = TimeSpan.FromSeconds(10);

    /// <summary>Below this, reading the commits costs less than a checkpoint is worth.</summary>
    const long CheckpointBytesMin = 256 << 10;

    readonly BackupVault _vault;
    readonly TimeProvider _clock;
    readonly WriterIdentity _identity;
    readonly IDisposable _lock;
    readonly ILogger _log;
    readonly SigningKey? _key;
    readonly List<CommitContent> _said = [];
    FileReference? _unnamed;
    long _checkpointAt;
    long _counter;
    bool _broken;

    VaultWriter(
        BackupVault vault, TimeProvider clock, WriterIdentity identity, IDisposable writerLock, ILogger log, SigningKey? key)
    {
        (_vault, _clock, _identity, _lock, _log, _key) = (vault, clock, identity, writerLock, log, key);
        _checkpointAt = Math.Max(CheckpointBytesMin, vault.Checkpoint?.Bytes ?? 0);
    }

    public int Epoch => _identity.Epoch;

    public VaultState State => _vault.State;

    /// <param name="key">Signs every commit. Without one, a vault whose newest commit is signed is not written to.</param>
    /// <param name="adopt">The first commit vouches for a history that is not signed by a trusted key: someone has looked at it.</param>
    /// <exception cref="RefusedException">Another writer is at work, or signatures are missing.</exception>
    public static async Task<VaultWriter> OpenAsync(
        BackupVault vault, TimeProvider clock, string host, int pid, CancellationToken stop, ILogger? log = null,
        SigningKey? key = null, bool adopt = false)
    {
        var writerLock = vault.Medium.TryLock(LockName);
        try
        {
            await vault.RefreshAsync(stop);
            if (writerLock is null)
                throw InUse(vault);
            if (vault.Newest is { Head.Format: var format } && format.Minor > VaultFormat.Current.Minor)
                throw new RefusedException(
                    $"the vault at {vault.Medium.Location} is written in format {format.Major}.{format.Minor}",
                    "Use the newer crmbackup; this one may read the vault, but not write it.");
            if (!adopt)
                RefuseUnsigned(vault, key);
            var torn = await SettledTornAsync(vault, clock, stop);
            if (torn.Count > 0)
                log?.SettingTornCommitsAside(string.Join(", ", torn.Select(file => file.Number)));
            var identity = new WriterIdentity(Guid.NewGuid(), vault.State.Epoch + 1, host, pid);
            var writer = new VaultWriter(vault, clock, identity, writerLock, log ?? NullLogger.Instance, key);
            if (vault.State.Head > 0)
            {
                // The one before may have been killed before it was durable: a power cut would tear it from under ours.
                await vault.Medium.KeepAsync(VaultPath.Commit(vault.State.Head), stop);
                writer._said.Add(SaidBefore(vault.State));
            }
            await writer.CommitAsync(new CommitContent(), torn, stop);
            return writer;
        }
        catch
        {
            writerLock?.Dispose();
            throw;
        }
    }

    /// <summary>Never given twice in the vault's life, together with <see cref="Epoch"/>.</summary>
    public long NextCounter() => Interlocked.Increment(ref _counter);

    /// <summary>What the commits since the last call said beside their segments, for the next log segment to carry: without commits, and
    /// without that, shapes, gaps and bases would be gone. At first, what all before said.</summary>
    public IReadOnlyList<CommitContent> TakeSaid()
    {
        var said = _said.ToList();
        _said.Clear();
        return said;
    }

    public string NextLogPath(DateOnly day, Lsn first) => VaultPath.Log(day, Epoch, NextCounter(), first);

    public string NextTablePath(RelationShape shape, SegmentKind kind, DateOnly day) =>
        VaultPath.Table(shape, kind, day, $"{Epoch:D8}-{NextCounter():D12}");

    /// <summary>A writer that has nothing to commit hears of another one only by looking.</summary>
    /// <exception cref="RefusedException">Another writer has taken over.</exception>
    public async Task RefuseWhenOvertakenAsync(CancellationToken stop)
    {
        var next = _vault.State.Head + 1;
        if (await _vault.Medium.ReadAsync(VaultPath.Commit(next), stop) is not null)
            throw await TakenAsync(next, stop);
    }

    /// <summary>Makes the content part of the backup, all of it or nothing. Durable when it returns.</summary>
    /// <exception cref="RefusedException">Another writer has taken over.</exception>
    public Task<VaultState> CommitAsync(CommitContent content, CancellationToken stop) =>
        CommitAsync(content, [], stop);

    async Task<VaultState> CommitAsync(
        CommitContent content, IReadOnlyList<FileReference> setAside, CancellationToken stop)
    {
        if (_broken)
            throw new InvalidOperationException("the outcome of a commit is unknown: open a new writer");
        var (before, hash) = setAside.Count > 0
            ? (setAside[^1].Number, setAside[^1].Hash) : (_vault.State.Head, _vault.State.HeadHash);
        var number = before + 1;
        var head = new CommitHead(
            VaultFormat.Current, number, hash, _clock.GetUtcNow(), _identity,
            _unnamed, setAside.Count > 0 ? setAside : null);
        var file = CommitCodec.Encode(head, content, _key);
        // Read back as any reader would, and folded, before it exists: what cannot be applied is not written.
        var link = new CommitLink(setAside, CommitCodec.Parse(number, file));
        var next = _vault.State.Apply(link);
        _broken = true;
        if (!await _vault.Medium.TryCreateAsync(VaultPath.Commit(number), file, stop))
            throw await TakenAsync(number, stop);
        // Where a commit is not created whole, another writer may have taken it for torn while we wrote.
        if (!_vault.Medium.CreatesWhole
            && await _vault.Medium.ReadAsync(VaultPath.Commit(number + 1), CancellationToken.None) is not null)
            throw await TakenAsync(number + 1, stop);
        _broken = false;
        _unnamed = null;
        _vault.Accept(link, next);
        _said.Add(SaidText.WithoutSegments(content));
        if (_vault.BytesSinceCheckpoint >= _checkpointAt)
            await WriteCheckpointAsync(CancellationToken.None);
        return next;
    }

    /// <summary>Written when the commits since the last weigh as much as it does: all checkpoints together weigh O(n
    /// log n).</summary>
    async Task WriteCheckpointAsync(CancellationToken stop)
    {
        try
        {
            var written = await CheckpointStore.WriteAsync(_vault.Medium, _vault.State, _vault.IdentityHash, stop);
            if (written is not null)
            {
                _unnamed = written.Reference;
                _vault.Checkpoint = written;
                _vault.BytesSinceCheckpoint = 0;
            }
            _checkpointAt = Math.Max(CheckpointBytesMin, written?.Bytes ?? 0);
        }
        catch (MediumException failure)
        {
            // The commit itself is durable, and a checkpoint only a short cut: later again.
            _checkpointAt = _vault.BytesSinceCheckpoint + CheckpointBytesMin;
            _log.CheckpointNotWritten(_vault.State.Head, failure);
        }
    }

    public void Dispose() => _lock.Dispose();

    /// <summary>Segments before carry it already, but for what was said since the last of them. Of the samples of sequences the last
    /// hundred are enough for that.</summary>
    static CommitContent SaidBefore(VaultState state) => new()
    {
        Relations = state.Relations,
        Schemas = state.Schemas,
        BaseChunks = state.BaseChunks,
        Bases = state.Bases,
        Marks = state.Marks,
        Gaps = state.Gaps,
        Sequences = [.. state.Sequences.TakeLast(100)],
        Settings = state.Settings,
        Requires = [.. state.Requires],
    };

    static async Task<IReadOnlyList<FileReference>> SettledTornAsync(
        BackupVault vault, TimeProvider clock, CancellationToken stop)
    {
        while (vault.Torn.Count > 0)
        {
            var seen = vault.Torn;
            await Task.Delay(TornSettles, clock, stop);
            await vault.RefreshAsync(stop);
            if (vault.Torn.SequenceEqual(seen))
                return seen;
        }
        return [];
    }

    async Task<RefusedException> TakenAsync(long number, CancellationToken stop)
    {
        var file = await _vault.Medium.ReadAsync(VaultPath.Commit(number), stop);
        if (file is null || CommitCodec.IsTorn(file))
            return new RefusedException(
                $"another writer is just making commit {number} of the vault at {_vault.Medium.Location}",
                "Only one process may write a vault: stop one of them.");
        var other = CommitCodec.Parse(number, file).Head;
        if (_vault.State.Epoch < Epoch && other.Writer.Epoch < Epoch)
            // Between our reading and our first commit, from a machine whose locks we do not see.
            return new RefusedException(
                $"another writer is at work on the vault at {_vault.Medium.Location}: {Describe(other)}",
                "Only one process may write a vault: stop that one, or leave it to it.");
        Invariant.Holds(
            other.Writer.Epoch >= Epoch,
            $"commit {number} was made by a writer of epoch {other.Writer.Epoch}, older than ours, {Epoch}");
        return new RefusedException(
            $"another writer has taken over the vault at {_vault.Medium.Location}: {Describe(other)}",
            "Only one process may write a vault: stop that one, or leave it to it.");
    }

    /// <summary>What we sign we vouch for, with everything before it.</summary>
    static void RefuseUnsigned(BackupVault vault, SigningKey? key)
    {
        if (vault.Newest is not { } newest)
            return;
        var signer = newest.Head.SignedBy;
        if (key is null && signer is not null)
            throw new RefusedException(
                $"the commits of {vault.Medium.Location} are signed by {signer}, and no private key is given",
                "Give the key by --private-key or keys.privateFile: an unsigned commit would not be trusted by those who read.");
        if (key is not null && signer != key.Public && vault.Trust?.Holds(signer) is not true)
            throw new RefusedException(
                $"{VaultPath.Commit(newest.Number)}, the newest commit of {vault.Medium.Location}, is {BackupVault.SignedByWhom(newest.Head)}",
                "Look at the vault with 'crmbackup verify'; if nobody forged it, 'crmbackup keys adopt' signs what stands.");
    }

    static RefusedException InUse(BackupVault vault) => new(
        $"the vault at {vault.Medium.Location} is being written by another process"
            + (vault.Newest is { } newest ? $": {Describe(newest.Head)}" : ""),
        "Only one process may write a vault: stop that one, or leave it to it.");

    static string Describe(CommitHead head) =>
        $"process {head.Writer.Pid} on {head.Writer.Host}, epoch {head.Writer.Epoch}, "
            + $"at {head.Time.UtcDateTime:yyyy-MM-dd HH:mm:ss}+00";
}
