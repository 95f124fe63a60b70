using System.Runtime.InteropServices;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

public sealed record SettleLimits
{
    /// <summary>128 MiB of events wait for their row groups; with more, the fullest table's is written early.</summary>
    public long BufferedBytesMax { get; init; } = 128L << 20;
    /// <summary>Open files. A database may have more tables than that: the longest unused goes on in a further segment.</summary>
    public int OpenSegmentsMax { get; init; } = 128;
    /// <summary>512 MiB: a damaged file should not cost more.</summary>
    public long SegmentBytes { get; init; } = 512L << 20;
}

/// <summary>Turns log segments into changes segments, one per relation and shape, and proves that both hold the same events.
/// Writes files, commits nothing: what it returns is a proposal to the archive. A job that is cut off leaves orphans.</summary>
public sealed class SettleJob(IMedium medium, VaultIdentity identity, SettleLimits limits, ILogger log)
{
    /// <param name="shapeOf">Finds the shapes that the events name.</param>
    /// <param name="stem">Begins the new files' names, unique in the vault's life: the writer's epoch and the job's id.</param>
    /// <returns>The commit that swaps them in.</returns>
    /// <exception cref="DifferenceException">A log segment is damaged, or a new one does not read back.</exception>
    public async Task<CommitContent> RunAsync(
        SettlePlan plan, Func<int, int, RelationShape> shapeOf, string stem, CancellationToken stop)
    {
        var origin = new SegmentOrigin(identity.Id, VaultFormat.Current, identity.SystemIdentifier, plan.Timeline);
        var expected = new Dictionary<int, long>();
        IReadOnlyList<SegmentEntry> settled;
        using (var open = new OpenSegments(medium, origin, limits, stem))
        {
            var journal = new SettledJournal(plan.Logs);
            foreach (var segment in plan.Logs)
                await SettleAsync(segment, open, journal, expected, shapeOf, stop);
            settled = await open.CompleteAsync(journal.Said(), stop);
        }
        FailPoint.Hit(FailPoint.MidSettle);
        var otherLibrary = 0;
        foreach (var segment in settled)
            if (await SegmentCheck.ReadBackAsync(() => medium.OpenRead(segment.Path), segment, log, stop) == ReadBackBy.OtherLibrary)
                otherLibrary++;
        CheckNothingLost(expected, settled);
        log.Settled(plan.Logs.Count, settled.Count, otherLibrary, plan.To);
        return new CommitContent
        {
            Add = settled,
            Remove = [.. plan.Logs.Select(segment => segment.Path)],
            SettledTo = plan.To,
        };
    }

    async Task SettleAsync(
        SegmentEntry segment, OpenSegments open, SettledJournal journal, Dictionary<int, long> expected, Func<int, int, RelationShape> shapeOf,
        CancellationToken stop)
    {
        using var content = new ContentHasher();
        using var file = SegmentFile.OpenVerified(medium.OpenRead(segment.Path), segment);
        open.Link = journal.Take(file.Description);
        var rows = 0L;
        foreach (var change in file.ReadEvents())
        {
            stop.ThrowIfCancellationRequested();
            content.Add(change);
            rows++;
            CollectionsMarshal.GetValueRefOrAddDefault(expected, change.Relation, out _)++;
            await open.AddAsync(change, shapeOf, stop);
        }
        // The log was written by the other library: here its events are read by this one for the first time.
        if (rows != segment.Rows || content.Finish() != segment.ContentHash)
            throw new DifferenceException(
                $"{segment.Path} does not read as what was written into it",
                "Its bytes are whole: one of the two Parquet libraries is at fault. Nothing was dropped; please report it.");
    }

    /// <summary>Every new segment has the content that was put into it (read back); here: everything was put into one.</summary>
    static void CheckNothingLost(Dictionary<int, long> expected, IReadOnlyList<SegmentEntry> settled)
    {
        foreach (var (relation, rows) in expected)
            Invariant.Holds(
                settled.Where(segment => segment.Relation == relation).Sum(segment => segment.Rows) == rows,
                $"settled segments of relation {relation} do not hold the events of the log");
    }
}
