using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What can still be restored exactly when some segments cannot be read. Pure.</summary>
public static class VaultVerificationEffect
{
    /// <summary>The state as if the segments' events had never been captured, and the bases that need them never
    /// finished.</summary>
    public static VaultState Without(this VaultState state, IEnumerable<SegmentEntry> lost)
    {
        foreach (var segment in lost)
            state = segment.Kind == SegmentKind.Base ? WithoutBase(state, segment) : WithoutEvents(state, segment);
        return state;
    }

    /// <summary>What was covered and is not any more.</summary>
    public static IReadOnlyList<CoverageRange> Lost(Coverage before, Coverage after) =>
        [.. before.Database.SelectMany(range => Minus(range, after.Database.Where(left => left.From.Timeline == range.From.Timeline)))];

    /// <param name="left">In order, and within the range.</param>
    static IEnumerable<CoverageRange> Minus(CoverageRange range, IEnumerable<CoverageRange> left)
    {
        var (from, time) = (range.From, range.FromTime);
        foreach (var still in left.Where(still => still.UpTo.Lsn >= range.From.Lsn && still.From.Lsn <= range.UpTo.Lsn))
        {
            if (still.From.Lsn > from.Lsn)
                yield return new CoverageRange(from, still.From with { Lsn = new Lsn(still.From.Lsn.Value - 1) }, time, still.FromTime);
            (from, time) = (still.UpTo with { Lsn = new Lsn(still.UpTo.Lsn.Value + 1) }, still.UpToTime);
        }
        if (from.Lsn <= range.UpTo.Lsn)
            yield return new CoverageRange(from, range.UpTo, time, range.UpToTime);
    }

    static VaultState WithoutBase(VaultState state, SegmentEntry segment) => state with
    {
        Bases = state.Bases.RemoveAll(
            complete => complete.Relation == segment.Relation && complete.BaseId == segment.BaseId),
    };

    static VaultState WithoutEvents(VaultState state, SegmentEntry segment)
    {
        var timeline = segment.Timeline != 0 ? segment.Timeline : state.CoveredTo?.Position.Timeline ?? 1;
        var scope = segment.Kind == SegmentKind.Log ? GapScope.Database : GapScope.Relation;
        // States before the first event need it not; later ones do, if their base may be older than the events.
        var gap = new Gap(
            scope, segment.Relation, new Position(timeline, new Lsn(segment.First.Value - 1)), null,
            $"{segment.Path} is damaged", DateTimeOffset.UnixEpoch);
        return state with
        {
            Gaps = state.Gaps.Add(gap),
            Bases = state.Bases.RemoveAll(complete =>
                (scope == GapScope.Database || complete.Relation == segment.Relation)
                && complete.From.Timeline == timeline && complete.From.Lsn >= segment.First
                && Needs(state, complete, segment)),
        };
    }

    /// <summary>As <see cref="RelationPlanner"/> decides which segments a fold reads.</summary>
    static bool Needs(VaultState state, BaseComplete complete, SegmentEntry segment)
    {
        var snapshots = state.BaseChunks
            .Where(chunk => chunk.Relation == complete.Relation && chunk.BaseId == complete.BaseId)
            .Select(chunk => Snapshot.Parse(chunk.Snapshot).Xmin).ToList();
        return snapshots.Count == 0 ? segment.Last >= complete.From.Lsn : segment.MaxXid >= snapshots.Min();
    }
}
