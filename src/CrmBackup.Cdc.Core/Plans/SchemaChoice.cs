using System.Globalization;

namespace CrmBackup.Cdc.Core;

/// <summary>Which stored schema a restore uses.</summary>
public static class SchemaChoice
{
    public static SchemaPlan? At(VaultState state, Position at)
    {
        var candidates = state.Schemas.Where(version => version.From.Timeline <= at.Timeline).ToList();
        if (candidates.Count == 0)
            return null;
        var holding = candidates.FindLast(version => Holds(version, at));
        if (holding is not null && !InSchemaGap(state, at))
            return new SchemaPlan(holding, Exact: true, SameShapes: true);
        if (candidates.FindLast(version => version.From.Timeline == at.Timeline && version.From.Lsn <= at.Lsn) is { DescribedFrom: not null } described
            && !InSchemaGap(state, at) && !CutOff(state, described, at))
            return new SchemaPlan(described, Exact: true, SameShapes: true, Described: true);
        // Approximate: best a dump whose tables have the target's columns, then the one nearest to the target.
        var wanted = Shapes(state, at.Lsn);
        var nearest = candidates
            .Select(version => (Version: version, Same: wanted.SetEquals(Shapes(state, version.From.Lsn))))
            .OrderByDescending(candidate => candidate.Same)
            .ThenBy(candidate => Distance(candidate.Version, at))
            .First();
        return new SchemaPlan(nearest.Version, Exact: false, nearest.Same);
    }

    static bool Holds(SchemaVersion version, Position at) =>
        version.From.Timeline == at.Timeline && version.From.Lsn <= at.Lsn && (version.Until is not { } until || at.Lsn < until.Lsn);

    static bool InSchemaGap(VaultState state, Position at) =>
        state.Gaps.Any(gap => gap.Scope == GapScope.Schema && gap.After.Timeline == at.Timeline && gap.After.Lsn < at.Lsn
            && (gap.Until is not { } until || at.Lsn < until.Lsn));

    /// <summary>The stream broke off between the dump and the target: what happened meanwhile nobody told.</summary>
    static bool CutOff(VaultState state, SchemaVersion version, Position at) =>
        state.Gaps.Any(gap => gap.Scope == GapScope.Database && gap.After.Timeline == at.Timeline
            && gap.After.Lsn >= version.DescribedFrom && gap.After.Lsn < at.Lsn);

    static HashSet<(int, int)> Shapes(VaultState state, Lsn at) =>
        [.. state.RelationsAt(at).Values.Select(shape => (shape.Number, shape.Version))];

    static ulong Distance(SchemaVersion version, Position at) =>
        version.From.Lsn >= at.Lsn ? version.From.Lsn.Value - at.Lsn.Value
            : version.Until is { } until && until.Lsn <= at.Lsn ? at.Lsn.Value - until.Lsn.Value : 0;
}

/// <summary>Which sample each sequence is restored from.</summary>
static class SequenceChoice
{
    /// <summary>A sample lists the sequences that moved since the sample before. So the first sample at or after the target holds those that
    /// had moved by then; one that is not in it stood still from its newest sample before the target, unless it could not be read then:
    /// that one is taken from where it is seen next, and raised to what its column uses.</summary>
    public static List<SequencePlan> At(VaultState state, Position at)
    {
        var chosen = new Dictionary<(string, string), SequencePlan>();
        var branchEnd = state.Gaps.Where(gap => gap.Scope == GapScope.Database && gap.After.Timeline == at.Timeline && gap.After.Lsn >= at.Lsn)
            .Select(gap => gap.After.Lsn.Value).DefaultIfEmpty(ulong.MaxValue).Min();
        var unread = new HashSet<(string, string)>();
        SequenceSample? after = null;
        foreach (var sample in state.Sequences.Where(sample => sample.At.Timeline <= at.Timeline).OrderBy(sample => (sample.At.Timeline, sample.At.Lsn.Value)))
        {
            var later = sample.At.Timeline == at.Timeline && sample.At.Lsn >= at.Lsn;
            if (later && sample.At.Lsn.Value > branchEnd)
                continue;
            if (later && after is not null && sample.At != after.At)
            {
                foreach (var sequence in sample.Sequences.Where(sequence => unread.Remove((sequence.Schema, sequence.Name))))
                    chosen[(sequence.Schema, sequence.Name)] = new SequencePlan(sequence, sample.At, Raise: true);
                continue;
            }
            if (later)
                after = sample;
            foreach (var sequence in sample.Sequences)
            {
                // Read after the target, it may have been set back since: then what the rows use counts, and where it stood before.
                var before = chosen.GetValueOrDefault((sequence.Schema, sequence.Name));
                chosen[(sequence.Schema, sequence.Name)] = later && before is not null && IsBehind(sequence, before.State)
                    ? before with { Raise = true } : new SequencePlan(sequence, sample.At, Raise: later && before is null);
            }
            foreach (var absent in sample.Absent)
                if (later && chosen.TryGetValue((absent.Schema, absent.Name), out var last))
                {
                    chosen[(absent.Schema, absent.Name)] = last with { Raise = true };
                    unread.Add((absent.Schema, absent.Name));
                }
        }
        // Without any later sample nothing says that they stood still.
        return [.. chosen.Values.Select(sequence => after is null ? sequence with { Raise = true } : sequence)];
    }

    static bool IsBehind(SequenceState one, SequenceState other)
    {
        var (value, before) = (long.Parse(one.LastValue, CultureInfo.InvariantCulture), long.Parse(other.LastValue, CultureInfo.InvariantCulture));
        return one.Increment < 0 ? value > before : value < before;
    }
}
