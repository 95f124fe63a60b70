using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>A run of positions in which a relation has one shape and is folded from one base; both ends belong to it.</summary>
/// <param name="Plan">Reads the segments that any position of the run may need.</param>
/// <param name="FromTime">A commit time known to lie in the covered range that the run is part of.</param>
sealed record RelationSpan(Lsn Low, Lsn High, RelationPlan Plan, SourceTime? FromTime)
{
    /// <summary>All covered runs up to the settled watermark, in order.</summary>
    public static IReadOnlyList<RelationSpan> Of(VaultState state, RelationCoverage coverage)
    {
        if (state.CoveredTo is not { } newest)
            return [];
        var timeline = newest.Position.Timeline;
        var planner = new RelationPlanner(state, timeline);
        var shapes = state.Relations.Where(shape => shape.Number == coverage.Relation).OrderBy(shape => shape.Version).ToList();
        var bases = state.Bases.Where(known => known.Relation == coverage.Relation && known.From.Timeline == timeline);
        var turns = shapes.Select(shape => shape.Since).Concat(bases.Select(known => known.From.Lsn)).Distinct().Order().ToList();
        var spans = new List<RelationSpan>();
        foreach (var range in coverage.Ranges.Where(range => range.From.Timeline == timeline && range.From.Lsn <= state.SettledTo))
        {
            var end = range.UpTo.Lsn < state.SettledTo ? range.UpTo.Lsn : state.SettledTo;
            Lsn[] lows = [range.From.Lsn, .. turns.Where(turn => turn > range.From.Lsn && turn <= end)];
            for (var i = 0; i < lows.Length; i++)
            {
                var high = i + 1 < lows.Length ? new Lsn(lows[i + 1].Value - 1) : end;
                if (shapes.FindLast(shape => shape.Since <= lows[i]) is { Dropped: false } shape)
                    spans.Add(new RelationSpan(lows[i], high, planner.At(shape, high), range.FromTime));
            }
        }
        return spans;
    }
}
