using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Walks all commits from the first to the last, and goes on behind a damaged one: what can still be known is
/// to be known.
/// Holds the live set and what lies on the medium, never the history.</summary>
/// <param name="read">Reads in the medium's place.</param>
/// <param name="known">Up to here there were commits, whatever is there now.</param>
sealed class VaultVerificationChain(
    IMedium medium, IReadOnlyDictionary<string, MediumFile> files, TrustedKeys? trust,
    Func<string, CancellationToken, Task<byte[]?>>? read = null, long known = 0)
{
    readonly List<VaultDamage> _damage = [];
    readonly List<FileReference> _torn = [];
    /// <summary>What the next commit must name; null behind a damaged file.</summary>
    Sha256? _expected;
    string _before = VaultPath.Identity;
    /// <summary>Index of the damage behind which <see cref="_expected"/> is null.</summary>
    int _unknown;
    int _epoch;
    /// <summary>The first commit behind which nobody who is trusted has signed, and the newest.</summary>
    (long From, long To)? _unsigned;

    public IReadOnlyList<VaultDamage> Damage => _damage;

    public List<string> Notes { get; } = [];

    public long Head { get; private set; }

    public Sha256? HeadHash { get; private set; }

    public int Writers { get; private set; }

    /// <summary>What the readable commits leave in the live set, with the number of the commit that added it.</summary>
    public Dictionary<string, (SegmentEntry Segment, long Commit)> Live { get; } = [];

    /// <summary>Files on the medium that a commit removed from the live set.</summary>
    public HashSet<string> Retired { get; } = [];

    public HashSet<Sha256> Schemas { get; } = [];

    public List<FileReference> Checkpoints { get; } = [];

    /// <summary>By number, the newest name.</summary>
    public Dictionary<int, string> Names { get; } = [];

    /// <param name="identity">Hash of <c>vault.json</c>; null when it is missing.</param>
    public async Task WalkAsync(Sha256? identity, CancellationToken stop)
    {
        if (identity is null)
            Broken(VaultPath.Identity, "is missing", null);
        else
            _expected = identity;
        var last = Math.Max(LastListed(), known);
        for (var number = 1L; ; number++)
        {
            stop.ThrowIfCancellationRequested();
            var path = VaultPath.Commit(number);
            if (await (read ?? medium.ReadAsync)(path, stop) is { } file)
                Take(number, path, file);
            else if (number > last)
                break;
            else
                Broken(path, "is missing, and later commits exist", null);
        }
        if (_unsigned is var (from, to))
            Add(new VaultDamage(VaultPath.Commit(from),
                from == to ? "is the newest, and not signed by a key that is trusted" : $"and all commits up to {to} are not signed by a key that is trusted",
                null, null, []));
        foreach (var torn in _torn)
            Broken(VaultPath.Commit(torn.Number), "is torn; the next writer that starts sets it aside", torn.Hash);
    }

    public async Task CheckHeadAsync(FileReference head, Sha256 identity, CancellationToken stop)
    {
        var path = head.Number == 0 ? VaultPath.Identity : VaultPath.Commit(head.Number);
        if (await RememberedHeads.IsHeldAsync(medium, identity, head, stop) || _damage.Any(damage => damage.Path == path))
            return;
        var file = await medium.ReadAsync(path, stop);
        Add(new VaultDamage(path, file is null
            ? $"was seen here, and is not there any more: the history was cut off behind commit {Head}, or an older copy put in its place"
            : "is not the commit that was seen here: another history was put in its place",
            head.Hash, file is null ? null : Sha256.Of(file), []));
    }

    long LastListed()
    {
        var last = 0L;
        foreach (var path in files.Keys)
            if (IsCommit(path, out var number))
                last = Math.Max(last, number);
        return last;
    }

    public static bool IsCommit(string path, out long number) =>
        long.TryParse(Path.GetFileNameWithoutExtension(path), out number) && VaultPath.Commit(number) == path;

    void Take(long number, string path, byte[] file)
    {
        if (CommitCodec.IsTorn(file))
        {
            _torn.Add(new FileReference(number, Sha256.Of(file)));
            return;
        }
        Commit commit;
        try
        {
            commit = CommitCodec.Parse(number, file);
        }
        catch (FormatViolationException failure)
        {
            // Torn ones before it were set aside by a commit that cannot be asked any more.
            _torn.Clear();
            Broken(path, failure.Message, Sha256.Of(file));
            return;
        }
        CheckPlace(commit, path);
        Collect(commit);
        CheckSigner(commit);
        (Head, HeadHash, _expected, _before) = (number, commit.Hash, commit.Hash, path);
    }

    /// <summary>Whoever signs a commit vouches, by the chain, for all before it: only what follows the last such one is not vouched for.</summary>
    void CheckSigner(Commit commit)
    {
        if (trust is null)
            return;
        if (!trust.Holds(commit.Head.SignedBy))
        {
            _unsigned = (_unsigned?.From ?? commit.Number, commit.Number);
            return;
        }
        if (_unsigned is var (from, to))
            Notes.Add($"commits {from} to {to} are not signed; commit {commit.Number} vouches for them");
        _unsigned = null;
    }

    void Add(VaultDamage damage) => _damage.Add(damage);

    void CheckPlace(Commit commit, string path)
    {
        var number = commit.Number;
        if (_torn.Count > 0 && _torn.SequenceEqual(commit.Head.SetAside ?? []))
        {
            var numbers = string.Join(", ", _torn.Select(torn => torn.Number));
            Notes.Add($"commits {numbers} are torn, and set aside by commit {number}");
            (_expected, _before) = (_torn[^1].Hash, VaultPath.Commit(_torn[^1].Number));
        }
        else if (_torn.Count > 0)
        {
            foreach (var torn in _torn)
                Broken(VaultPath.Commit(torn.Number), $"is torn, and commit {number} does not set it aside", torn.Hash);
        }
        else if (commit.Head.SetAside is { Count: > 0 })
        {
            Add(new VaultDamage(path, "sets commits aside that are not torn", null, commit.Hash, []));
        }
        _torn.Clear();
        if (_expected is null)
            _damage[_unknown] = _damage[_unknown] with { Expected = commit.Prev };
        else if (_expected != commit.Prev)
            Add(new VaultDamage(_before, $"is not the file that commit {number} follows", commit.Prev, _expected, []));
        if (commit.Head.Writer.Epoch < _epoch)
        {
            var what = $"is of epoch {commit.Head.Writer.Epoch}, after one of epoch {_epoch}";
            Add(new VaultDamage(path, what, null, commit.Hash, []));
        }
        if (commit.Head.Writer.Epoch > _epoch)
            Writers++;
        _epoch = Math.Max(_epoch, commit.Head.Writer.Epoch);
    }

    void Broken(string path, string what, Sha256? actual)
    {
        (_expected, _before, _unknown) = (null, path, _damage.Count);
        Add(new VaultDamage(path, what, null, actual, []));
    }

    void Collect(Commit commit)
    {
        foreach (var path in commit.Content.Remove)
        {
            Live.Remove(path);
            if (files.ContainsKey(path))
                Retired.Add(path);
        }
        foreach (var segment in commit.Content.Add)
        {
            Live[segment.Path] = (segment, commit.Number);
            Retired.Remove(segment.Path);
        }
        Schemas.UnionWith(commit.Content.Schemas.Select(schema => schema.Hash));
        foreach (var shape in commit.Content.Relations)
            Names[shape.Number] = shape.FullName;
        if (commit.Head.Checkpoint is { } checkpoint)
            Checkpoints.Add(checkpoint);
    }
}
