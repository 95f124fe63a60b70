using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>From which time on a position is reached: the latest commit time among all transactions up to it, for times run backwards.</summary>
sealed class SettledTimes
{
    readonly SortedDictionary<Lsn, SourceTime> _reached = new(Comparer<Lsn>.Create((left, right) => left.CompareTo(right)));

    /// <summary>The source's clock at the settled watermark, as far as it is known.</summary>
    public SourceTime? Settled { get; private init; }

    /// <summary>Where no transaction is known up to the position, the earliest time that is surely not too early.</summary>
    /// <param name="within">A commit time known to lie in the covered range that begins there.</param>
    public SourceTime? Reached(Lsn position, SourceTime? within = null) =>
        _reached.TryGetValue(position, out var time) ? time : within ?? Settled;

    public static SettledTimes Read(IMedium medium, VaultState state, CancellationToken stop)
    {
        var timeline = state.CoveredTo?.Position.Timeline ?? 0;
        var events = state.Segments.Values.Where(segment => segment.Kind == SegmentKind.Changes && segment.Rows > 0
            && (segment.Timeline == 0 || segment.Timeline == timeline)).ToList();
        var settled = events.Max(segment => segment.LastTime);
        if (state.CoveredTo is { } covered && covered.Position.Lsn == state.SettledTo && covered.SourceTime > settled)
            settled = covered.SourceTime;
        var times = new SettledTimes { Settled = settled };
        var turns = Turns(state, timeline);
        foreach (var segment in events)
        {
            stop.ThrowIfCancellationRequested();
            foreach (var turn in turns.Where(turn => segment.Last <= turn))
                times.Raise(turn, segment.LastTime!.Value);
            var within = turns.Where(turn => segment.First <= turn && segment.Last > turn).ToList();
            if (within.Count > 0)
                times.Look(medium, segment, within);
        }
        return times;
    }

    /// <summary>The positions where a run of some relation begins, or the first after one ends.</summary>
    static List<Lsn> Turns(VaultState state, uint timeline) =>
        [.. Coverage.Of(state).Relations.SelectMany(relation => RelationSpan.Of(state, relation))
            .SelectMany(span => new[] { span.Low, new Lsn(span.High.Value + 1) })
            .Where(turn => turn <= state.SettledTo).Distinct().Order()];

    void Look(IMedium medium, SegmentEntry segment, List<Lsn> turns)
    {
        using var file = SegmentFile.OpenVerified(medium.OpenRead(segment.Path), segment);
        foreach (var transaction in file.ReadTransactions())
            foreach (var turn in turns.Where(turn => transaction.End <= turn))
                Raise(turn, transaction.Time);
    }

    void Raise(Lsn turn, SourceTime time)
    {
        if (!_reached.TryGetValue(turn, out var known) || known < time)
            _reached[turn] = time;
    }
}
