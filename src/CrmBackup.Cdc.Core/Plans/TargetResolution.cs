namespace CrmBackup.Cdc.Core;

/// <summary>One transaction as the segments know it.</summary>
/// <param name="End">End LSN of its commit.</param>
public readonly record struct TransactionStamp(Lsn End, SourceTime Time, ulong Xid);

/// <summary>The transactions of one event segment, in the order of their commits. Read only when a target needs it.</summary>
public delegate IEnumerable<TransactionStamp> ReadTransactions(SegmentEntry segment);

/// <param name="Why">How the position was found, for the report: one line.</param>
/// <param name="Last">The newest transaction that the target includes, when it was looked up.</param>
public sealed record ResolvedTarget(Position At, string Why, TransactionStamp? Last = null);

/// <summary>Turns a <see cref="RestoreTarget"/> into a covered position, or refuses. It never moves a target silently.</summary>
/// <param name="only">The relations that are restored; all when null.</param>
public sealed class TargetResolution(VaultState state, ReadTransactions read, IReadOnlySet<int>? only = null)
{
    readonly Coverage _coverage = Coverage.Of(state, only);
    readonly uint _timeline = state.CoveredTo?.Position.Timeline ?? 0;
    readonly List<SegmentEntry> _events = EventSegments(state);
    readonly IReadOnlyList<(uint Timeline, Lsn End)> _branch = Branches.Surviving(state);

    public Coverage Coverage => _coverage;

    /// <param name="before">Excludes the transaction that the target names (<c>--before</c>).</param>
    /// <exception cref="RefusedException">Unknown, or outside coverage; the hint prints the coverage and the nearest good points.</exception>
    public ResolvedTarget Resolve(RestoreTarget target, bool before = false)
    {
        if (state.CoveredTo is null || _coverage.Latest is null)
            throw Refuse("nothing can be restored yet");
        if (before && target is RestoreTarget.Latest or RestoreTarget.OfTimeline && before)
            throw new UsageException($"--before does not go with {target}", "It excludes the transaction that lsn:, xid: or mark: names.");
        return target switch
        {
            RestoreTarget.Latest => Checked(state.CoveredTo.Position, "the newest position of the vault"),
            RestoreTarget.OfTimeline branch => OfTimeline(branch.Timeline),
            RestoreTarget.AtLsn at => Checked(OnBranch(Excluding(at.Lsn, before)), before ? $"just before {at.Lsn}" : $"lsn {at.Lsn}"),
            RestoreTarget.AtXid xid => AtXid(xid.Xid, before),
            RestoreTarget.AtMark mark => AtMark(mark.Name, before),
            RestoreTarget.AtTime time => AtTime(time.Time, before),
            _ => throw new InvalidOperationException($"unknown target {target}"),
        };
    }

    /// <summary>Live event segments whose events are not also in others: log segments that are settled are read in their settled form.</summary>
    public static List<SegmentEntry> EventSegments(VaultState state) =>
        [.. state.Segments.Values.Where(segment => segment.Kind == SegmentKind.Changes
            || segment.Kind == SegmentKind.Log && segment.Last > state.SettledTo).OrderBy(segment => segment.First)];

    ResolvedTarget OfTimeline(uint timeline)
    {
        var newest = _coverage.Database.LastOrDefault(range => range.From.Timeline == timeline)
            ?? throw Refuse($"timeline {timeline} has no covered position");
        return new ResolvedTarget(newest.UpTo, $"the newest covered position of timeline {timeline}");
    }

    ResolvedTarget AtXid(ulong xid, bool before)
    {
        var exact = Find(stamp => stamp.Xid == xid, segment => segment.MaxXid >= xid);
        if (exact.Count == 0 && xid <= uint.MaxValue)
            exact = Find(stamp => (uint)stamp.Xid == xid, segment => segment.MaxXid > xid);
        if (exact.Count > 1)
            throw Refuse($"xid {xid} stands for several transactions: " + string.Join(", ", exact.Select(stamp => $"xid:{stamp.Xid} at {stamp.End}")));
        if (exact.Count == 0)
            throw Refuse($"the vault holds no transaction {xid}; it may have been rolled back, or have changed nothing that is protected");
        var found = exact[0];
        return Checked(OnBranch(Excluding(found.End, before)),
            before ? $"just before transaction {found.Xid}, committed {found.Time}" : $"transaction {found.Xid}, committed {found.Time}",
            before ? null : found);
    }

    ResolvedTarget AtMark(string name, bool before)
    {
        var named = state.Marks.Where(mark => mark.Name == name).ToList();
        if (named.Count == 0)
        {
            var known = state.Marks.Reverse().Select(mark => mark.Name).Distinct().Take(8).ToList();
            throw Refuse($"there is no mark '{name}'" + (known.Count > 0 ? $"; the newest are {string.Join(", ", known)}" : ""));
        }
        if (named.Count > 1)
            throw Refuse($"the mark '{name}' was set {named.Count} times; name one as "
                + string.Join(" or ", named.TakeLast(5).Select(mark => $"lsn:{CoverageSweep.At(mark).Lsn} ({mark.Time})")));
        var at = named[0] with { Before = named[0].Before || before };
        return Checked(CoverageSweep.At(at), $"mark {name}, set {at.Time}" + (at.Before ? ", the state before its transaction" : ""));
    }

    /// <summary>Recovery's rule: stop before the first commit, in LSN order, that is later than the time.</summary>
    ResolvedTarget AtTime(SourceTime time, bool before)
    {
        bool Later(TransactionStamp stamp) => before ? stamp.Time >= time : stamp.Time > time;
        var first = First(Later, segment => segment.LastTime is null || segment.LastTime >= time);
        var stopAt = first?.End.Value ?? ulong.MaxValue;
        var last = LastBefore(stopAt);
        var covered = state.CoveredTo!;
        var newest = covered.SourceTime ?? last?.Time;
        if (first is null && (newest is null || time > newest))
            throw Refuse($"the time {time} is later than what the vault holds, which is {(newest is null ? "nothing" : $"up to {newest}")}");
        if (first is not null && last is null)
            throw Refuse($"the time {time} is before the first transaction of the vault, committed {first.Value.Time}");
        var at = last is { } stamp ? OnBranch(stamp.End) : covered.Position;
        // The state stands still from the last commit to the first later one, unless something between them was not captured.
        var gap = state.Gaps.FirstOrDefault(gap => Matters(gap) && (gap.After.Timeline == at.Timeline || EndOf(gap.After.Timeline) is not null)
            && OnSurviving(gap.After) is var after && after >= at.Lsn && after.Value < stopAt);
        if (gap is not null)
            throw Refuse($"the time {time} falls into a gap after {gap.After}: {gap.Reason}", at);
        var next = first is { } later ? $"; the next commit, {later.End}, is of {later.Time}" : "";
        var why = last is { } known ? $"the last commit is of {known.Time}, xid {known.Xid}{next}" : "no commit since the first base";
        return Checked(at, why, last);
    }

    List<TransactionStamp> Find(Func<TransactionStamp, bool> wanted, Func<SegmentEntry, bool> worth)
    {
        // One transaction stands in as many segments as it touched tables.
        var found = new HashSet<(Lsn, ulong)>();
        return [.. OnTimeline().Where(worth).SelectMany(Read).Where(wanted)
            .Where(stamp => found.Add((stamp.End, stamp.Xid))).OrderBy(stamp => stamp.End)];
    }

    TransactionStamp? First(Func<TransactionStamp, bool> wanted, Func<SegmentEntry, bool> worth)
    {
        TransactionStamp? first = null;
        foreach (var segment in OnTimeline().Where(worth))
        {
            if (first is { } best && segment.First >= best.End)
                continue;
            foreach (var stamp in Read(segment).Where(wanted).Take(1))
                if (first is null || stamp.End < first.Value.End)
                    first = stamp;
        }
        return first;
    }

    TransactionStamp? LastBefore(ulong end)
    {
        TransactionStamp? last = null;
        foreach (var segment in OnTimeline().Where(segment => segment.First.Value < end).OrderByDescending(segment => segment.Last))
        {
            if (last is { } best && segment.Last <= best.End)
                continue;
            foreach (var stamp in Read(segment).TakeWhile(stamp => stamp.End.Value < end))
                if (last is null || stamp.End > last.Value.End)
                    last = stamp;
        }
        return last;
    }

    /// <summary>Of the surviving branch.</summary>
    IEnumerable<SegmentEntry> OnTimeline() =>
        _events.Where(segment => segment.Rows > 0 && (segment.Timeline == 0 || EndOf(segment.Timeline) is { } end && segment.First <= end));

    IEnumerable<TransactionStamp> Read(SegmentEntry segment) =>
        segment.Timeline == 0 ? read(segment) : read(segment).TakeWhile(stamp => stamp.End <= EndOf(segment.Timeline));

    /// <summary>Where what lies after a position is unknown on the surviving branch: there, LSNs of its timelines compare.</summary>
    Lsn OnSurviving(Position at) => EndOf(at.Timeline) is { } end && end < at.Lsn ? end : at.Lsn;

    /// <summary>Null when the timeline is not on the surviving branch.</summary>
    Lsn? EndOf(uint timeline)
    {
        foreach (var (known, end) in _branch)
            if (known == timeline)
                return end;
        return null;
    }

    bool Matters(Gap gap) =>
        gap.Scope == GapScope.Database || gap.Scope == GapScope.Relation && (only?.Contains(gap.Relation) ?? true);

    static Lsn Excluding(Lsn lsn, bool before) => before ? new Lsn(lsn.Value - 1) : lsn;

    /// <summary>A bare LSN means the surviving branch; one from before its newest timeline means the one it grew from.</summary>
    Position OnBranch(Lsn lsn)
    {
        var timeline = _timeline;
        foreach (var (known, end) in _branch)
            if (lsn <= end)
                timeline = known;
        if (_branch.Count > 1)
            return new Position(timeline, lsn);
        // Where no branching was seen, coverage alone says it.
        var holding = _coverage.Database.LastOrDefault(range => lsn >= range.From.Lsn && lsn <= range.UpTo.Lsn);
        return new Position(holding?.From.Timeline ?? timeline, lsn);
    }

    ResolvedTarget Checked(Position at, string why, TransactionStamp? last = null)
    {
        if (EndOf(at.Timeline) is { } left && at.Lsn > left)
            throw Refuse($"{at} ({why}) lies beyond {left}, where the source went over to another timeline: only --to timeline:{at.Timeline} goes there");
        if (_coverage.Holds(at))
            return new ResolvedTarget(at, why, last);
        var newest = state.CoveredTo!.Position;
        throw Refuse(at.Timeline == newest.Timeline && at.Lsn > newest.Lsn
            ? $"{why} is later than what the vault holds, which is up to {newest}"
            : $"the state at {at} ({why}) cannot be restored exactly: {Reason(at)}", at);
    }

    string Reason(Position at)
    {
        var missing = state.RelationsAt(at.Lsn).Values.Where(shape => (only?.Contains(shape.Number) ?? true) &&
            _coverage.Relations.First(relation => relation.Relation == shape.Number) is var known && !known.Holds(at)).ToList();
        if (missing.Count == 0)
            return "nothing is known of that moment";
        var names = string.Join(", ", missing.OrderBy(shape => shape.Number).Take(5).Select(shape => shape.FullName));
        var gap = state.Gaps.LastOrDefault(gap => gap.Scope != GapScope.Schema && gap.After.Timeline == at.Timeline && gap.After.Lsn < at.Lsn
            && (gap.Scope == GapScope.Database || missing.Any(shape => shape.Number == gap.Relation)));
        var because = gap is null ? "the base was not complete" : $"a gap after {gap.After} ({gap.Reason}) had not been closed by a new base";
        return $"{because} for {names}{(missing.Count > 5 ? $" and {missing.Count - 5} more" : "")}";
    }

    RefusedException Refuse(string message, Position? at = null)
    {
        var near = at is { } wanted ? _coverage.Nearest(wanted) : default;
        var good = new[] { near.Before, near.After }.Where(point => point is not null).Select(point => $"--to lsn:{point!.Value.Lsn}").ToList();
        var hint = Capital(_coverage.Describe()) + ".";
        return new RefusedException(message, good.Count == 0 ? hint : $"{hint} The nearest good points: {string.Join(" or ", good)}.");
    }

    static string Capital(string text) => char.ToUpperInvariant(text[0]) + text[1..];
}
