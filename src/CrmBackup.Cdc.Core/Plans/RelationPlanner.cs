namespace CrmBackup.Cdc.Core;

/// <summary>Finds the base and the segments of one relation. Skips a segment only where it provably holds nothing to replay.</summary>
public sealed class RelationPlanner(VaultState state, uint timeline)
{
    readonly ILookup<int, SegmentEntry> _changes = TargetResolution.EventSegments(state)
        .Where(segment => segment.Kind == SegmentKind.Changes).ToLookup(segment => segment.Relation);
    readonly List<SegmentEntry> _log = [.. TargetResolution.EventSegments(state).Where(segment => segment.Kind == SegmentKind.Log)];
    readonly ILookup<(int, int, int), SegmentEntry> _rows = state.Segments.Values.Where(segment => segment.Kind == SegmentKind.Base)
        .OrderBy(segment => segment.Path, StringComparer.Ordinal).ToLookup(segment => (segment.Relation, segment.BaseId, segment.Chunk));
    readonly ILookup<int, RelationShape> _shapes = state.Relations.ToLookup(shape => shape.Number);
    readonly ILookup<(int, int), BaseChunk> _chunks = state.BaseChunks.ToLookup(chunk => (chunk.Relation, chunk.BaseId));
    readonly ILookup<int, BaseComplete> _bases = state.Bases.ToLookup(complete => complete.Relation);

    /// <summary>The relation's plan for the state at an end LSN.</summary>
    public RelationPlan At(RelationShape shape, Lsn at)
    {
        var complete = _bases[shape.Number].Where(known => known.From.Timeline == timeline && known.From.Lsn <= at)
            .OrderByDescending(known => known.From.Lsn).ThenByDescending(known => known.BaseId).FirstOrDefault()
            ?? throw new RefusedException($"{shape.FullName} has no complete base at {at}", "Choose a later point: 'crmbackup points' lists them.");
        return Build(shape, complete, segment => segment.First <= at);
    }

    /// <summary>The relation's plan for the state that a snapshot sees: a base all of whose chunks are older than it.</summary>
    public RelationPlan? SeenBy(RelationShape shape, Snapshot snapshot)
    {
        foreach (var complete in _bases[shape.Number].Where(known => known.From.Timeline == timeline)
            .OrderByDescending(known => known.From.Lsn).ThenByDescending(known => known.BaseId))
        {
            var plan = Build(shape, complete, _ => true);
            if (plan.NewestSnapshot is null || Snapshot.CompareAge(plan.NewestSnapshot, snapshot) <= 0)
                return plan;
        }
        return null;
    }

    RelationPlan Build(RelationShape shape, BaseComplete complete, Func<SegmentEntry, bool> wanted)
    {
        var chunks = _chunks[(shape.Number, complete.BaseId)]
            .Select(chunk => new ChunkPlan(chunk, Snapshot.Parse(chunk.Snapshot), [.. _rows[(chunk.Relation, chunk.BaseId, chunk.Chunk)]]))
            .OrderBy(chunk => chunk.Chunk.Keys).ThenBy(chunk => chunk.Snapshot, Comparer<Snapshot>.Create(Snapshot.CompareAge))
            .ThenBy(chunk => chunk.Chunk.Chunk).ToList();
        foreach (var chunk in chunks)
            if (chunk.Segments.Sum(segment => segment.Rows) != chunk.Chunk.Rows)
                throw new FormatViolationException($"base {complete.BaseId} of {shape.FullName}, chunk {chunk.Chunk.Chunk}: "
                    + $"the vault lists {chunk.Segments.Sum(segment => segment.Rows)} of its {chunk.Chunk.Rows} rows");
        var oldest = chunks.Count == 0 ? null : chunks[0].Snapshot;
        // A relation born in the stream has no event before its creation; otherwise the oldest snapshot has seen every older id.
        bool Needed(SegmentEntry segment) => segment.Rows > 0 && wanted(segment)
            && (segment.Timeline == 0 || segment.Timeline == timeline)
            && (oldest is null ? segment.Last >= complete.From.Lsn : segment.MaxXid >= oldest.Xmin);
        var events = _changes[shape.Number].Concat(_log).Where(Needed).OrderBy(segment => segment.First).ToList();
        var shapes = _shapes[shape.Number].Where(version => version.Version <= shape.Version).OrderBy(version => version.Version).ToList();
        return new RelationPlan(shape, shapes, complete, chunks, events,
            chunks.SelectMany(chunk => chunk.Segments).Concat(events).Sum(segment => segment.Bytes));
    }
}

public static class RelationPlanSegments
{
    /// <summary>Every segment the plan reads.</summary>
    public static IEnumerable<SegmentEntry> Segments(this RelationPlan plan) =>
        plan.Chunks.SelectMany(chunk => chunk.Segments).Concat(plan.Events);
}
