using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The history that segments tell without a commit. Segments of events are linked, each run of log segments to the one before,
/// so what is missing between two of them is known to be missing; what is not proven is a gap. Pure.</summary>
/// <param name="Events">The proven segments of events, in order, each event once.</param>
/// <param name="Bases">All proven base segments.</param>
/// <param name="Lost">Segments of events that are known and cannot be read.</param>
/// <param name="Unused">Proven, but their events stand in others too: settled already, or never committed.</param>
/// <param name="State">What their vault said, as far as it can be known, with a gap for everything that is missing; no segments in it.</param>
/// <param name="Missing">In words.</param>
public sealed record SalvagedHistory(
    IReadOnlyList<LoneSegment> Events, IReadOnlyList<LoneSegment> Bases, IReadOnlyList<LoneSegment> Lost, IReadOnlyList<LoneSegment> Unused,
    VaultState State, IReadOnlyList<string> Missing)
{
    /// <param name="found">Segments of one vault, each with its description.</param>
    public static SalvagedHistory Of(IEnumerable<LoneSegment> found)
    {
        var segments = found.OrderByDescending(segment => segment.Proven).DistinctBy(LoneSegment.Identity).ToList();
        var bases = segments.Where(segment => segment.Description!.Kind == SegmentKind.Base).ToList();
        var events = segments.Except(bases).ToList();
        var runs = SegmentRuns.Of(events);
        var missing = new List<string>();
        var chosen = runs.SelectMany(run => run).SelectMany(node => node.Segments).ToList();
        var proven = bases.Where(segment => segment.Proven).ToList();
        var state = Said(chosen, proven) with
        {
            CoveredTo = CoveredTo(runs),
            SettledTo = SettledTo(runs),
        };
        state = state with { Bases = WholeBases(state, proven, missing) };
        var lost = chosen.Where(segment => !segment.Proven).ToList();
        foreach (var segment in lost)
            missing.Add($"{segment.Where}, {Names(segment)}, events from {segment.Description!.First} to {segment.Description.Last}: {segment.Damage}");
        foreach (var segment in bases.Where(segment => !segment.Proven))
            missing.Add($"{segment.Where}, {Names(segment)}, rows of base {segment.Description!.BaseId}: {segment.Damage}");
        state = state.Without([.. lost.Select(Entry), .. Holes(runs, missing)]);
        return new SalvagedHistory(
            [.. chosen.Where(segment => segment.Proven)], proven, lost, [.. events.Where(segment => segment.Proven).Except(chosen)], state, missing);
    }

    public static SegmentEntry Entry(LoneSegment segment) => segment.Description!.ToEntry(segment.Where, segment.Bytes, segment.FileHash);

    static string Names(LoneSegment segment)
    {
        var said = segment.Description!;
        return said.Kind == SegmentKind.Log || said.Relation == 0 ? "all tables"
            : said.Relations is [var shape, ..] ? shape.FullName : $"relation {said.Relation}";
    }

    /// <summary>Everything that the segments carry along of what commits said; what comes twice counts once.</summary>
    static VaultState Said(IReadOnlyList<LoneSegment> events, IReadOnlyList<LoneSegment> bases)
    {
        var said = events.SelectMany(segment => SaidText.Decode(segment.Description!.Said)).ToList();
        var relations = said.SelectMany(content => content.Relations)
            .Concat(events.Concat(bases).SelectMany(segment => segment.Description!.Relations)).Where(shape => shape.Number > 0)
            .DistinctBy(shape => (shape.Number, shape.Version)).OrderBy(shape => shape.Since).ThenBy(shape => shape.Number).ThenBy(shape => shape.Version);
        var chunks = said.SelectMany(content => content.BaseChunks).Concat(bases.Select(segment => segment.Description!.Base).OfType<BaseChunk>());
        var state = VaultState.Empty;
        foreach (var content in said)
            state = state.Apply(state.Head + 1, Sha256.Zero, 1, DateTimeOffset.UnixEpoch, new CommitContent
            {
                Schemas = content.Schemas,
                Gaps = content.Gaps,
                Settings = content.Settings,
                Requires = content.Requires,
            });
        return state with
        {
            Head = 0,
            Relations = [.. relations],
            BaseChunks = [.. chunks.DistinctBy(chunk => (chunk.Relation, chunk.BaseId, chunk.Chunk))],
            Bases = [.. said.SelectMany(content => content.Bases).DistinctBy(complete => (complete.Relation, complete.BaseId))],
            Marks = [.. said.SelectMany(content => content.Marks).Distinct()],
            Gaps = [.. state.Gaps.Distinct()],
            Sequences = [.. said.SelectMany(content => content.Sequences).DistinctBy(sample => sample.At).OrderBy(sample => (sample.At.Timeline, sample.At.Lsn.Value))],
        };
    }

    /// <summary>A base counts when every page from the first to the last is in a chunk, and every chunk has its rows.</summary>
    static System.Collections.Immutable.ImmutableList<BaseComplete> WholeBases(
        VaultState state, IReadOnlyList<LoneSegment> bases, List<string> missing)
    {
        var rows = bases.Select(segment => segment.Description!)
            .ToLookup(segment => (segment.Relation, segment.BaseId, segment.Chunk), segment => segment.Rows);
        var chunks = state.BaseChunks.ToLookup(chunk => (chunk.Relation, chunk.BaseId));
        var born = state.Relations.Where(shape => shape.Version == 1).ToDictionary(shape => shape.Number, shape => shape.Since);
        return state.Bases.RemoveAll(complete =>
        {
            var own = chunks[(complete.Relation, complete.BaseId)].ToList();
            var page = (long?)0;
            foreach (var chunk in own.Where(chunk => !chunk.Keys).OrderBy(chunk => chunk.FromPage))
                page = chunk.FromPage == page ? chunk.ToPage : -1;
            // Without a chunk a base is that of a table made in the stream: it begins where the table does.
            var whole = own.Count == 0
                ? born.TryGetValue(complete.Relation, out var since) && since == complete.From.Lsn
                : page is null && own.TrueForAll(chunk => rows[(chunk.Relation, chunk.BaseId, chunk.Chunk)].Sum() == chunk.Rows);
            if (!whole)
                missing.Add($"rows of base {complete.BaseId} of {state.Relations.FindLast(shape => shape.Number == complete.Relation)?.FullName ?? $"relation {complete.Relation}"}: it counts for nothing");
            return !whole;
        });
    }

    static CoveredTo? CoveredTo(IReadOnlyList<IReadOnlyList<SegmentNode>> runs) => runs is [.., [.., var newest]]
        ? new CoveredTo(new Position(newest.Timeline, newest.Last), newest.Segments.Max(segment => segment.Description!.LastTime)) : null;

    /// <summary>Only where all that comes before is settled too.</summary>
    static Lsn SettledTo(IReadOnlyList<IReadOnlyList<SegmentNode>> runs) =>
        runs.SelectMany(run => run).TakeWhile(node => node.IsSettled).Select(node => node.Last).LastOrDefault();

    /// <summary>What lies between two runs, as a segment that is lost.</summary>
    static IEnumerable<SegmentEntry> Holes(IReadOnlyList<IReadOnlyList<SegmentNode>> runs, List<string> missing)
    {
        SegmentNode? before = null;
        foreach (var run in runs)
        {
            var next = run[0];
            if (before is not null || next.Before != SegmentNode.Beginning)
            {
                var after = before?.Last ?? Lsn.None;
                missing.Add(before is null ? $"events before {next.First}" : $"events between {after} and {next.First}");
                yield return new SegmentEntry(
                    $"what came after {after}", SegmentKind.Log, 0, 0, 0, 0, 0, 1, Sha256.Zero, Sha256.Zero,
                    new Lsn(after.Value + 1), next.First, null, null, run[0].Segments.Max(segment => segment.Description!.MaxXid), before?.Timeline ?? next.Timeline);
            }
            before = run[^1];
        }
    }
}
