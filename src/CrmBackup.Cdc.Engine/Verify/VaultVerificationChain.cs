using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Walks all commits from the first to the last, and goes on behind a damaged one: what can still be known is
/// to be known.
/// Holds the live set and what lies on the medium, never the history.</summary>
sealed class VaultVerificationChain(IMedium medium, IReadOnlyDictionary<string, MediumFile> files)
{
    readonly List<VaultDamage> _damage = [];
    readonly List<FileReference> _torn = [];
    /// <summary>What the next commit must name; null behind a damaged file.</summary>
    Sha256? _expected;
    string _before = VaultPath.Identity;
    /// <summary>Index of the damage behind which <see cref="_expected"/> is null.</summary>
    int _unknown;
    int _epoch;

    public IReadOnlyList<VaultDamage> Damage => _damage;

    public List<string> Notes { get; } = [];

    public long Head { get; private set; }

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
        var last = LastListed();
        for (var number = 1L; ; number++)
        {
            stop.ThrowIfCancellationRequested();
            var path = VaultPath.Commit(number);
            if (await medium.ReadAsync(path, stop) is { } file)
                Take(number, path, file);
            else if (number > last)
                break;
            else
                Broken(path, "is missing, and later commits exist", null);
        }
        foreach (var torn in _torn)
            Broken(VaultPath.Commit(torn.Number), "is torn; the next writer that starts sets it aside", torn.Hash);
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
        (Head, _expected, _before) = (number, commit.Hash, path);
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
