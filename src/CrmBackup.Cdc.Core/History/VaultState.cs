namespace CrmBackup.Cdc.Core;

/// <summary>The folded live set: what the commits up to <see cref="Head"/> say together. Immutable; <see cref="Apply"/> gives the next.
/// A checkpoint is this, written down.</summary>
public sealed record VaultState
{
    public static readonly VaultState Empty = new();

    /// <summary>Number of the newest commit folded in; 0 = none.</summary>
    public long Head { get; init; }
    public Sha256 HeadHash { get; init; } = Sha256.Zero;
    /// <summary>The highest writer epoch seen.</summary>
    public int Epoch { get; init; }
    /// <summary>Newest commit's time on the writer's clock.</summary>
    public DateTimeOffset? HeadTime { get; init; }
    public System.Collections.Immutable.ImmutableDictionary<string, SegmentEntry> Segments { get; init; } =
        System.Collections.Immutable.ImmutableDictionary<string, SegmentEntry>.Empty;
    public System.Collections.Immutable.ImmutableList<RelationShape> Relations { get; init; } = [];
    public System.Collections.Immutable.ImmutableList<SchemaVersion> Schemas { get; init; } = [];
    public System.Collections.Immutable.ImmutableList<BaseChunk> BaseChunks { get; init; } = [];
    public System.Collections.Immutable.ImmutableList<BaseComplete> Bases { get; init; } = [];
    public System.Collections.Immutable.ImmutableList<Mark> Marks { get; init; } = [];
    public System.Collections.Immutable.ImmutableList<Gap> Gaps { get; init; } = [];
    public System.Collections.Immutable.ImmutableList<SequenceSample> Sequences { get; init; } = [];
    public System.Collections.Immutable.ImmutableDictionary<string, string> Settings { get; init; } =
        System.Collections.Immutable.ImmutableDictionary<string, string>.Empty;
    public CoveredTo? CoveredTo { get; init; }
    public Lsn SettledTo { get; init; }
    public System.Collections.Immutable.ImmutableHashSet<string> Requires { get; init; } = [];
    /// <summary>By id.</summary>
    public System.Collections.Immutable.ImmutableDictionary<string, ParityGroup> ParityGroups { get; init; } =
        System.Collections.Immutable.ImmutableDictionary<string, ParityGroup>.Empty;
    public System.Collections.Immutable.ImmutableList<ParityPack> ParityPacks { get; init; } = [];

    /// <summary>The state after one more commit. Pure; refuses what cannot follow.</summary>
    public VaultState Apply(long number, Sha256 hash, int epoch, DateTimeOffset time, CommitContent content)
    {
        if (number != Head + 1)
            throw new FormatViolationException($"commit {number} does not follow commit {Head}");
        var segments = Segments.ToBuilder();
        foreach (var path in content.Remove)
            if (!segments.Remove(path))
                throw new FormatViolationException($"commit {number} removes {path}, which is not in the live set");
        foreach (var segment in content.Add)
            if (!segments.TryAdd(segment.Path, segment))
                throw new FormatViolationException($"commit {number} adds {segment.Path} a second time");
        var schemas = Schemas;
        foreach (var schema in content.Schemas)
        {
            var known = schemas.FindIndex(other => other.Hash == schema.Hash && other.From == schema.From);
            schemas = known < 0 ? schemas.Add(schema) : schemas.SetItem(known, schema);
        }
        var gaps = Gaps;
        foreach (var gap in content.Gaps)
        {
            var open = gaps.FindIndex(other => other.Scope == gap.Scope && other.Relation == gap.Relation
                && other.After == gap.After && other.Until is null);
            gaps = open < 0 ? gaps.Add(gap) : gaps.SetItem(open, gap);
        }
        var groups = ParityGroups.ToBuilder();
        foreach (var id in content.Parity?.Remove ?? [])
            if (!groups.Remove(id))
                throw new FormatViolationException($"commit {number} removes the parity group {id}, which there is not");
        foreach (var group in content.Parity?.Groups ?? [])
            if (!groups.TryAdd(group.Id, group))
                throw new FormatViolationException($"commit {number} adds the parity group {group.Id} a second time");
        return this with
        {
            Head = number,
            HeadHash = hash,
            HeadTime = time,
            Epoch = Math.Max(Epoch, epoch),
            Segments = segments.ToImmutable(),
            Relations = Relations.AddRange(content.Relations),
            Schemas = schemas,
            BaseChunks = BaseChunks.AddRange(content.BaseChunks),
            Bases = Bases.AddRange(content.Bases),
            Marks = Marks.AddRange(content.Marks),
            Gaps = gaps,
            Sequences = Sequences.AddRange(content.Sequences),
            Settings = Settings.SetItems(content.Settings),
            CoveredTo = content.CoveredTo ?? CoveredTo,
            SettledTo = content.SettledTo ?? SettledTo,
            Requires = Requires.Union(content.Requires),
            ParityGroups = groups.ToImmutable(),
            ParityPacks = content.Parity is { } parity ? ParityPacks.AddRange(parity.Packs) : ParityPacks,
        };
    }

    /// <summary>The newest shape of each relation at a position, dropped ones left out.</summary>
    public IReadOnlyDictionary<int, RelationShape> RelationsAt(Lsn at)
    {
        var live = new Dictionary<int, RelationShape>();
        foreach (var shape in Relations)
            if (shape.Since <= at && (!live.TryGetValue(shape.Number, out var known) || known.Version < shape.Version))
                live[shape.Number] = shape;
        foreach (var dropped in live.Values.Where(shape => shape.Dropped).ToList())
            live.Remove(dropped.Number);
        return live;
    }

    public RelationShape Shape(int relation, int version) =>
        Relations.Find(shape => shape.Number == relation && shape.Version == version)
        ?? throw new FormatViolationException($"relation {relation} has no shape {version}");
}
