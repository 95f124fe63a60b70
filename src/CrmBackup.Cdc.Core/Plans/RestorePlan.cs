namespace CrmBackup.Cdc.Core;

/// <summary>How true a restored object is.</summary>
public enum Fidelity
{
    Exact,
    Approximate,
    Absent,
}

/// <summary>One line of the report: an object, or a kind of objects, and how true it is.</summary>
public sealed record FidelityLine(string What, Fidelity Fidelity, string Why = "");

/// <summary>One chunk of the base a relation is folded from.</summary>
public sealed record ChunkPlan(BaseChunk Chunk, Snapshot Snapshot, IReadOnlyList<SegmentEntry> Segments);

/// <summary>How the rows of one relation at the target are made: its base's chunks, oldest snapshot first, and the events after.</summary>
/// <param name="Shape">At the target.</param>
/// <param name="Shapes">Every version of the relation up to the target, in order.</param>
/// <param name="Chunks">By age of their snapshots, the repair chunk last; empty for a relation born in the stream.</param>
/// <param name="Events">Segments that can hold events to replay: changes of the relation, and log segments. By first position, not disjoint.</param>
/// <param name="Bytes">Of all these segments; log segments are shared between relations.</param>
public sealed record RelationPlan(
    RelationShape Shape, IReadOnlyList<RelationShape> Shapes, BaseComplete Base, IReadOnlyList<ChunkPlan> Chunks,
    IReadOnlyList<SegmentEntry> Events, long Bytes)
{
    public Snapshot? OldestSnapshot => Chunks.Count == 0 ? null : Chunks[0].Snapshot;

    /// <summary>The newest of the page chunks' snapshots, or the repair chunk's when that is newer.</summary>
    public Snapshot? NewestSnapshot =>
        Chunks.Select(chunk => chunk.Snapshot).Aggregate((Snapshot?)null, (newest, next) =>
            newest is null || Snapshot.CompareAge(next, newest) > 0 ? next : newest);

    /// <summary>The rows that the base and the events hold together: an upper bound of the fold's input.</summary>
    public long RowsRead => Chunks.Sum(chunk => chunk.Chunk.Rows) + Events.Where(segment => segment.Kind == SegmentKind.Changes).Sum(segment => segment.Rows);
}

/// <summary>The stored schema to restore with.</summary>
/// <param name="Exact">No DDL lies between the dump and the target, or none that was not described.</param>
/// <param name="Described">The definitions sent with the commands between them are folded over the dump.</param>
/// <param name="SameShapes">Tables and columns are those of the target, whatever else may differ.</param>
public sealed record SchemaPlan(SchemaVersion Version, bool Exact, bool SameShapes, bool Described = false);

/// <summary>The value a sequence gets.</summary>
/// <param name="Raise">Raised to the highest value of its owned column: no sample at or after the target holds it.</param>
public sealed record SequencePlan(SequenceState State, Position SampledAt, bool Raise);

/// <summary>Everything a restore reads and makes, decided before anything is touched.</summary>
/// <param name="Schema">Null when the vault has no schema at all: tables are then made from their shapes.</param>
/// <param name="Bytes">Of the distinct segments that are read.</param>
public sealed record RestorePlan(
    Position At, IReadOnlyList<RelationPlan> Relations, SchemaPlan? Schema, IReadOnlyList<SequencePlan> Sequences,
    IReadOnlyList<FidelityLine> Fidelity, long Bytes)
{
    /// <param name="at">A covered position (<see cref="TargetResolution"/>).</param>
    /// <param name="only">Relations to restore; all live ones when null.</param>
    /// <exception cref="RefusedException">A relation is not covered at the position.</exception>
    public static RestorePlan For(VaultState state, Position at, IReadOnlySet<int>? only = null)
    {
        var live = state.RelationsAt(at.Lsn).Values.Where(shape => only?.Contains(shape.Number) ?? true).OrderBy(shape => shape.Number);
        var coverage = Coverage.Of(state, only);
        if (!coverage.Holds(at))
            throw new RefusedException($"the state at {at} is not covered", coverage.Describe());
        var planner = new RelationPlanner(state, at.Timeline);
        var relations = live.Select(shape => planner.At(shape, at.Lsn)).ToList();
        var schema = SchemaChoice.At(state, at);
        return new RestorePlan(at, relations, schema, SequenceChoice.At(state, at),
            [.. FidelityLines(state, at, relations, schema)],
            relations.SelectMany(relation => relation.Segments()).DistinctBy(segment => segment.Path).Sum(segment => segment.Bytes));
    }

    static IEnumerable<FidelityLine> FidelityLines(VaultState state, Position at, List<RelationPlan> relations, SchemaPlan? schema)
    {
        yield return new FidelityLine($"rows of {relations.Count} tables", Core.Fidelity.Exact);
        yield return schema switch
        {
            null => new FidelityLine("schema", Core.Fidelity.Absent, "no schema was stored: tables have their columns and nothing else"),
            { Exact: true, Described: true } => new FidelityLine("schema, comments and grants", Core.Fidelity.Exact,
                $"from {schema.Version.From} and the definitions sent with the commands since"),
            { Exact: true } => new FidelityLine("schema, comments and grants", Core.Fidelity.Exact),
            { SameShapes: true } => new FidelityLine("schema", Core.Fidelity.Approximate,
                $"from {schema.Version.From}: DDL lies between it and the target, tables and columns are the same"),
            _ => new FidelityLine("schema", Core.Fidelity.Approximate,
                $"from {schema.Version.From}: DDL lies between it and the target, tables were fitted to the columns of the target"),
        };
        yield return new FidelityLine("sequences", Core.Fidelity.Approximate, "not behind the rows, at most one flush ahead; exact where they rested until they were read");
        yield return new FidelityLine("large objects (pg_largeobject)", Core.Fidelity.Absent, "logical decoding does not carry them");
        yield return new FidelityLine("rows of unlogged, temporary and foreign tables", Core.Fidelity.Absent, "they do not pass the WAL");
        yield return new FidelityLine("roles and their passwords, tablespaces, settings of databases and roles", Core.Fidelity.Absent,
            "they belong to the server; globals.sql beside the schema has those that the role might read");
        yield return new FidelityLine("statistics, physical order of rows", Core.Fidelity.Absent, "ANALYZE made them anew");
        foreach (var line in Reductions.At(state, at))
            yield return new FidelityLine(line, Core.Fidelity.Approximate, "reduced at capture");
    }
}
