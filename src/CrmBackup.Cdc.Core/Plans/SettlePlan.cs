namespace CrmBackup.Cdc.Core;

public sealed record SettleOptions
{
    /// <summary>5 minutes: how far the analysts' views may lie behind.</summary>
    public TimeSpan Every { get; init; } = TimeSpan.FromMinutes(5);
    /// <summary>64 MiB of log segments are settled at once, however young: many small ones cost every restore.</summary>
    public long Bytes { get; init; } = 64L << 20;
    /// <summary>256 MiB in one job, so that a job that is cut off repeats little. One transaction is never parted.</summary>
    public long JobBytesMax { get; init; } = 256L << 20;

    public IEnumerable<string> Problems()
    {
        if (Every <= TimeSpan.Zero) yield return "settle:every must be greater than zero";
        if (Bytes < 1) yield return "settle:bytes must be at least 1";
        if (JobBytesMax < Bytes) yield return "settle:jobBytesMax must be at least settle:bytes";
    }
}

/// <summary>Which log segments become table segments next.</summary>
/// <param name="Timeline">Of all of them.</param>
/// <param name="Logs">In commit order, ending where a transaction ends; empty when only the watermark moves.</param>
/// <param name="To">The settled watermark afterwards.</param>
public sealed record SettlePlan(uint Timeline, IReadOnlyList<SegmentEntry> Logs, Lsn To)
{
    /// <param name="now">On the source's clock, as well as it is known.</param>
    /// <param name="atOnce">Whatever there is, however little.</param>
    /// <returns>Null when nothing is due.</returns>
    public static SettlePlan? For(VaultState state, SettleOptions options, SourceTime now, bool atOnce)
    {
        var logs = state.Segments.Values.Where(segment => segment.Kind == SegmentKind.Log).OrderBy(WrittenAs, StringComparer.Ordinal).ToList();
        if (logs.Count == 0)
            return atOnce && state.CoveredTo is { } idle && idle.Position.Lsn > state.SettledTo
                ? new SettlePlan(idle.Position.Timeline, [], idle.Position.Lsn) : null;
        var oldest = logs.Min(log => log.FirstTime ?? now);
        var due = atOnce || logs.Sum(log => log.Bytes) >= options.Bytes
            || now.UnixMicroseconds - oldest.UnixMicroseconds >= (long)options.Every.TotalMicroseconds;
        return due ? Taking(logs, state, options.JobBytesMax) : null;
    }

    static SettlePlan Taking(List<SegmentEntry> logs, VaultState state, long bytesMax)
    {
        var timeline = logs[0].Timeline;
        var taken = 1;
        for (var bytes = logs[0].Bytes; taken < logs.Count && logs[taken].Timeline == timeline; taken++)
        {
            // A large transaction is several segments with one position.
            if (bytes >= bytesMax && logs[taken].First > logs[taken - 1].Last)
                break;
            bytes += logs[taken].Bytes;
        }
        var to = logs[taken - 1].Last;
        if (taken == logs.Count && state.CoveredTo is { } covered && covered.Position.Timeline == timeline && covered.Position.Lsn > to)
            to = covered.Position.Lsn;
        // The watermark is the surviving branch's: what is settled late of an older timeline, beyond where it was left, says nothing of it.
        foreach (var (older, end) in Branches.Surviving(state))
            if (older == timeline && end < to)
                to = end > state.SettledTo ? end : state.SettledTo;
        return new SettlePlan(timeline, logs.GetRange(0, taken), to);
    }

    /// <summary>A log segment's file name begins with the writer's epoch and counter: the order of writing, which is that of the commits.</summary>
    static string WrittenAs(SegmentEntry log) => log.Path[(log.Path.LastIndexOf('/') + 1)..];
}
