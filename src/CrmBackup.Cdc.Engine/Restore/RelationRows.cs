using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Opens what a plan names as the input of a fold. Every segment's hash is checked each time before it is read.</summary>
sealed class RelationRows(IMedium medium)
{
    readonly EventMerge _merge = new(medium);

    /// <param name="includes">Which transactions belong to the state.</param>
    public FoldInput Input(RelationPlan plan, Func<Lsn, ulong, bool> includes, Func<ReadOnlyMemory<byte>, bool>? keep = null) => new()
    {
        Target = plan.Shape,
        Shapes = plan.Shapes,
        Chunks = [.. plan.Chunks.Select(chunk => new FoldChunk(chunk.Chunk.Shape, chunk.Snapshot, () => Rows(chunk.Segments)))],
        Events = () => Events(plan),
        Includes = includes,
        Keep = keep,
        // Columns compress about fourfold; log segments hold other tables too.
        BytesExpected = 4 * plan.Segments().Where(segment => segment.Kind != SegmentKind.Log).Sum(segment => segment.Bytes),
    };

    /// <summary>The transactions of a segment, for finding a target's position.</summary>
    public IEnumerable<TransactionStamp> Transactions(SegmentEntry entry)
    {
        using var segment = SegmentFile.OpenVerified(medium.OpenRead(entry.Path), entry);
        var last = Lsn.None;
        foreach (var change in segment.ReadEvents())
            if (change.CommitLsn != last)
            {
                last = change.CommitLsn;
                yield return new TransactionStamp(change.CommitLsn, change.CommitTime, change.Xid);
            }
    }

    IEnumerable<ReadOnlyMemory<byte>> Rows(IReadOnlyList<SegmentEntry> segments)
    {
        foreach (var entry in segments)
        {
            using var segment = SegmentFile.OpenVerified(medium.OpenRead(entry.Path), entry);
            foreach (var row in segment.ReadRows())
                yield return row;
        }
    }

    /// <summary>An event that stands both in the log and in its settled twin comes once.</summary>
    IEnumerable<ChangeEvent> Events(RelationPlan plan)
    {
        (Lsn, int)? last = null;
        foreach (var change in _merge.Read(plan.Events, plan.Shape.Number))
        {
            if (last == (change.CommitLsn, change.Ordinal))
                continue;
            last = (change.CommitLsn, change.Ordinal);
            yield return change;
        }
    }
}
