namespace CrmBackup.Cdc.Core;

/// <summary>The arithmetic behind <see cref="Coverage.Of"/>: closed intervals of LSNs, one timeline after the other.</summary>
sealed class CoverageSweep(VaultState state, IReadOnlySet<int>? only)
{
    readonly record struct Span(ulong Low, ulong High);

    readonly List<SegmentEntry> _events =
        [.. state.Segments.Values.Where(segment => segment.Kind != SegmentKind.Base && segment.Rows > 0)];

    public Coverage Run()
    {
        var relations = new List<RelationCoverage>();
        var database = new List<CoverageRange>();
        var lives = state.Relations.Where(shape => only?.Contains(shape.Number) ?? true).GroupBy(shape => shape.Number).OrderBy(group => group.Key).Select(Life.Of).ToList();
        var live = state.RelationsAt(state.CoveredTo?.Position.Lsn ?? Lsn.None);
        foreach (var life in lives)
            relations.Add(new RelationCoverage(life.Number, life.Name, live.ContainsKey(life.Number),
                [.. Timelines().SelectMany(timeline => Covered(life, timeline).Select(span => Range(timeline, span)))]));
        foreach (var timeline in Timelines())
            database.AddRange(CoveredDatabase(lives, timeline).Select(span => Range(timeline, span)));
        var marks = state.Marks.Where(mark => database.Any(range => range.Holds(At(mark)))).ToList();
        return new Coverage(database, relations, marks, [.. Reduced(relations)]);
    }

    /// <summary>The position that a mark means: after its transaction, or just before it.</summary>
    public static Position At(Mark mark) => mark.Before ? mark.At with { Lsn = new Lsn(mark.At.Lsn.Value - 1) } : mark.At;

    IEnumerable<uint> Timelines() =>
        state.Bases.Select(complete => complete.From.Timeline)
            .Concat(state.Schemas.Select(schema => schema.From.Timeline)).Distinct().Order();

    /// <summary>Each complete base covers from its barrier to the next gap, its relation's end, or the end of the vault.</summary>
    List<Span> Covered(Life life, uint timeline)
    {
        var spans = new List<Span>();
        foreach (var complete in state.Bases.Where(complete => complete.Relation == life.Number && complete.From.Timeline == timeline)
            .OrderBy(complete => complete.From.Lsn))
        {
            var low = complete.From.Lsn.Value;
            var high = Math.Min(End(timeline), life.Death - 1);
            foreach (var gap in state.Gaps)
                if (gap.Scope == GapScope.Database || gap.Scope == GapScope.Relation && gap.Relation == life.Number)
                    if (gap.After.Timeline >= timeline && gap.After.Lsn.Value >= low)
                        high = Math.Min(high, gap.After.Lsn.Value);
            if (high >= low)
                spans.Add(new Span(low, high));
        }
        return Merge(spans);
    }

    List<Span> CoveredDatabase(List<Life> lives, uint timeline)
    {
        var start = Start(lives, timeline);
        var end = End(timeline);
        if (start is null || end < start)
            return [];
        var holes = new List<Span>();
        foreach (var life in lives)
        {
            var low = Math.Max(life.Birth, start.Value);
            var high = Math.Min(life.Death - 1, end);
            foreach (var span in Covered(life, timeline))
            {
                if (span.Low > low)
                    holes.Add(new Span(low, span.Low - 1));
                low = Math.Max(low, span.High + 1);
            }
            if (low <= high)
                holes.Add(new Span(low, high));
        }
        foreach (var gap in state.Gaps.Where(gap => gap.Scope == GapScope.Database && gap.After.Timeline == timeline))
        {
            // Tables that nobody had heard of yet are no hole of their own: nothing is known until the first base after the gap.
            var low = gap.After.Lsn.Value + 1;
            var high = Math.Min(end, Math.Max(Resumes(gap.After, lives) - 1, gap.Until?.Lsn.Value ?? 0));
            if (low <= high)
                holes.Add(new Span(low, high));
        }
        if (state.CoveredTo?.Position.Timeline == timeline && state.Settings.TryGetValue(Coverage.UnlistedFrom, out var from) && from.Length > 0)
            holes.Add(new Span(Lsn.Parse(from).Value, end));
        holes.AddRange(Ambiguous(timeline));
        return Subtract(new Span(start.Value, end), Merge(holes));
    }

    /// <summary>LSNs that two timelines have used, from where a table's shape changed there: shapes have an LSN and no timeline, and which tables
    /// lived on which of the two nobody can tell. Mostly there are none: what was lost in a failover changed no table.</summary>
    IEnumerable<Span> Ambiguous(uint timeline)
    {
        foreach (var other in Timelines().Where(other => other != timeline))
        {
            var low = Timelines().Where(one => one > Math.Min(timeline, other) && one <= Math.Max(timeline, other))
                .Min(one => Branches.LeftAt(state, one)?.Value ?? First(one));
            var high = state.Gaps.Where(gap => gap.Scope == GapScope.Database && gap.After.Timeline == Math.Min(timeline, other))
                .Select(gap => gap.After.Lsn.Value).DefaultIfEmpty(0UL).Max();
            var changed = state.Relations.Select(shape => shape.Since.Value).Where(since => since > low && since <= high).DefaultIfEmpty(ulong.MaxValue).Min();
            if (changed <= high)
                yield return new Span(changed, high);
        }
    }

    /// <summary>Of what is known on a timeline: a base or a schema.</summary>
    ulong First(uint timeline) => state.Bases.Select(complete => complete.From).Concat(state.Schemas.Select(schema => schema.From))
        .Where(from => from.Timeline == timeline).Select(from => from.Lsn.Value).DefaultIfEmpty(ulong.MaxValue).Min();

    /// <summary>Where something is known again after a gap of the database: its first base, or its schema if there never was a table.</summary>
    ulong Resumes(Position gap, List<Life> lives) =>
        (lives.Count > 0 ? state.Bases.Select(complete => complete.From) : state.Schemas.Select(schema => schema.From))
        .Where(from => from.Timeline == gap.Timeline && from.Lsn > gap.Lsn).Select(from => from.Lsn.Value).DefaultIfEmpty(ulong.MaxValue).Min();

    /// <summary>Before the first relation (or, in a database without tables, the first schema) was known nothing can be said.</summary>
    ulong? Start(List<Life> lives, uint timeline)
    {
        // LSNs go on over a change of timeline: a later timeline begins where its first base or schema stands.
        var first = First(timeline);
        if (lives.Count > 0)
            first = Math.Max(first, lives.Min(life => life.Birth));
        return first == ulong.MaxValue ? null : first;
    }

    /// <summary>The last position known on a timeline: of the vault, or where a younger timeline left it.</summary>
    ulong End(uint timeline)
    {
        if (state.CoveredTo is not { } covered)
            return 0;
        if (covered.Position.Timeline == timeline)
            return covered.Position.Lsn.Value;
        return state.Gaps.Where(gap => gap.Scope == GapScope.Database && gap.After.Timeline >= timeline)
            .Select(gap => gap.After.Lsn.Value).DefaultIfEmpty(0UL).Max();
    }

    CoverageRange Range(uint timeline, Span span)
    {
        var from = new Position(timeline, new Lsn(span.Low));
        var upTo = new Position(timeline, new Lsn(span.High));
        SourceTime? fromTime = null, upToTime = null;
        foreach (var segment in _events.Where(segment => segment.Timeline == 0 || segment.Timeline == timeline))
        {
            if (segment.First <= from.Lsn && segment.Last >= from.Lsn)
                fromTime = Later(fromTime, segment.LastTime);
            if (segment.First <= upTo.Lsn)
                upToTime = Later(upToTime, segment.Last <= upTo.Lsn ? segment.LastTime : segment.FirstTime);
        }
        // Settled segments span minutes: the base itself says it better.
        fromTime = state.Bases.FirstOrDefault(complete => complete.From == from)?.Time ?? fromTime;
        if (state.CoveredTo is { } covered && covered.Position == upTo && covered.SourceTime is { } idle)
            upToTime = Later(upToTime, idle);
        if (upToTime < fromTime)
            upToTime = fromTime;
        return new CoverageRange(from, upTo, fromTime, upToTime);
    }

    IEnumerable<string> Reduced(List<RelationCoverage> relations)
    {
        foreach (var relation in relations.Where(relation => relation.Live))
        {
            if (relation.Ranges.Count == 0)
                yield return $"{relation.Name}: no complete base yet";
            else if (state.CoveredTo is { } newest && !relation.Holds(newest.Position))
                yield return $"{relation.Name}: not covered after {relation.Ranges[^1].UpTo}";
        }
        foreach (var gap in state.Gaps.Where(gap => gap.Scope != GapScope.Relation || (only?.Contains(gap.Relation) ?? true)))
        {
            var what = gap.Scope switch
            {
                GapScope.Database => "gap of the whole database",
                GapScope.Relation => $"gap of {relations.Find(relation => relation.Relation == gap.Relation)?.Name ?? $"relation {gap.Relation}"}",
                _ => "schema approximate",
            };
            var until = gap.Until is { } end ? $" until {end}" : "";
            yield return $"{what} after {gap.After}{until}: {gap.Reason}";
        }
        foreach (var line in Reductions.Told(state))
            yield return line;
    }

    static SourceTime? Later(SourceTime? left, SourceTime? right) =>
        left is null || right > left ? right : left;

    static List<Span> Merge(List<Span> spans)
    {
        var merged = new List<Span>();
        foreach (var span in spans.OrderBy(span => span.Low))
        {
            if (merged.Count > 0 && span.Low <= merged[^1].High + 1)
                merged[^1] = merged[^1] with { High = Math.Max(merged[^1].High, span.High) };
            else
                merged.Add(span);
        }
        return merged;
    }

    static List<Span> Subtract(Span whole, List<Span> holes)
    {
        var rest = new List<Span>();
        var low = whole.Low;
        foreach (var hole in holes)
        {
            if (hole.Low > low)
                rest.Add(new Span(low, hole.Low - 1));
            low = Math.Max(low, hole.High + 1);
        }
        if (low <= whole.High)
            rest.Add(new Span(low, whole.High));
        return rest;
    }

    /// <summary>From when to when a relation existed; death is the first LSN without it.</summary>
    readonly record struct Life(int Number, string Name, ulong Birth, ulong Death)
    {
        public static Life Of(IGrouping<int, RelationShape> versions)
        {
            var ordered = versions.OrderBy(shape => shape.Version).ToList();
            var dropped = ordered.Find(shape => shape.Dropped);
            return new Life(versions.Key, ordered[^1].FullName, ordered[0].Since.Value, dropped?.Since.Value ?? ulong.MaxValue);
        }
    }
}
