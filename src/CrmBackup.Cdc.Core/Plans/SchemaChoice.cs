namespace CrmBackup.Cdc.Core;

/// <summary>Which stored schema a restore uses.</summary>
static class SchemaChoice
{
    public static SchemaPlan? At(VaultState state, Position at)
    {
        var candidates = state.Schemas.Where(version => version.From.Timeline <= at.Timeline).ToList();
        if (candidates.Count == 0)
            return null;
        var holding = candidates.FindLast(version => Holds(version, at));
        if (holding is not null && !InSchemaGap(state, at))
            return new SchemaPlan(holding, Exact: true, SameShapes: true);
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
    /// had moved by then; one that is not in it stood still from its newest sample before the target.</summary>
    public static List<SequencePlan> At(VaultState state, Position at)
    {
        var chosen = new Dictionary<(string, string), SequencePlan>();
        var branchEnd = state.Gaps.Where(gap => gap.Scope == GapScope.Database && gap.After.Timeline == at.Timeline && gap.After.Lsn >= at.Lsn)
            .Select(gap => gap.After.Lsn.Value).DefaultIfEmpty(ulong.MaxValue).Min();
        SequenceSample? after = null;
        foreach (var sample in state.Sequences.Where(sample => sample.At.Timeline <= at.Timeline).OrderBy(sample => (sample.At.Timeline, sample.At.Lsn.Value)))
        {
            var later = sample.At.Timeline == at.Timeline && sample.At.Lsn >= at.Lsn;
            if (later && (after is null || sample.At == after.At) && sample.At.Lsn.Value <= branchEnd)
                after = sample;
            else if (later)
                continue;
            foreach (var sequence in sample.Sequences)
                chosen[(sequence.Schema, sequence.Name)] = new SequencePlan(sequence, sample.At, Raise: false);
        }
        // Without any later sample nothing says that they stood still.
        return [.. chosen.Values.Select(sequence => after is null ? sequence with { Raise = true } : sequence)];
    }
}
