using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>A log segment, or all parts of a settle job: a stretch of the history that is all there, if damaged in parts.</summary>
/// <param name="Id">Content hash of its last log segment.</param>
/// <param name="Before">Id of the stretch before.</param>
public sealed record SegmentNode(string Id, string Before, bool IsSettled, IReadOnlyList<LoneSegment> Segments)
{
    /// <summary>No log segment of the vault is older.</summary>
    public const string Beginning = "";

    public Lsn First { get; } = Segments.Min(segment => segment.Description!.First);

    public Lsn Last { get; } = Segments.Max(segment => segment.Description!.Last);

    public uint Timeline => Segments[0].Description!.Origin.Timeline;

    public int LostParts { get; } = Segments.Count(segment => !segment.Proven);
}

/// <summary>Puts segments of events in order by their links.</summary>
static class SegmentRuns
{
    /// <returns>Runs in which each stretch follows the one before without a hole, oldest first; of stretches that hold the same events, one.</returns>
    public static IReadOnlyList<IReadOnlyList<SegmentNode>> Of(IReadOnlyList<LoneSegment> events)
    {
        var nodes = Nodes(events).ToList();
        var byId = nodes.GroupBy(node => node.Id)
            .ToDictionary(same => same.Key, same => same.OrderBy(node => node.LostParts).ThenByDescending(node => node.IsSettled).First());
        var left = nodes.OrderByDescending(node => node.Timeline).ThenByDescending(node => node.Last).ThenBy(node => node.LostParts).ToList();
        var runs = new List<IReadOnlyList<SegmentNode>>();
        while (left.Count > 0)
        {
            var run = new List<SegmentNode>();
            var seen = new HashSet<string>();
            for (var node = byId.GetValueOrDefault(left[0].Id, left[0]); node is not null && seen.Add(node.Id); node = byId.GetValueOrDefault(node.Before))
                run.Add(node);
            run.Reverse();
            runs.Add(run);
            // What is not older holds events that the run has, or that no commit ever took.
            left.RemoveAll(node => node.Timeline > run[0].Timeline || (node.Timeline == run[0].Timeline && node.Last >= run[0].First));
        }
        runs.Reverse();
        return runs;
    }

    static IEnumerable<SegmentNode> Nodes(IReadOnlyList<LoneSegment> events)
    {
        foreach (var log in events.Where(segment => segment.Description!.Kind == SegmentKind.Log))
            yield return new SegmentNode(
                log.Description!.ContentHash.Hex,
                log.Description.Link is { } link ? link.Before?.Hex ?? SegmentNode.Beginning : $"not said by {log.Where}", false, [log]);
        foreach (var job in events.Where(segment => segment.Description is { Kind: SegmentKind.Changes, Link.Job: not null })
            .GroupBy(segment => (segment.Description!.Link!.Job, segment.Description.Link.Through)))
        {
            var parts = job.DistinctBy(segment => segment.Description!.Link!.Part).OrderBy(segment => segment.Description!.Link!.Part).ToList();
            if (job.Key.Through is { } through && parts[^1].Description!.Link!.Parts == parts.Count)
                yield return new SegmentNode(through.Hex, parts[0].Description!.Link!.Before?.Hex ?? SegmentNode.Beginning, true, parts);
        }
    }
}
