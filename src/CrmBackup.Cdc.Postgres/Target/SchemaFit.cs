using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Makes a target's tables take the rows of given shapes, where its schema comes from another moment. The tables are empty still,
/// so whatever stands in the way is dropped rather than converted.</summary>
public static class SchemaFit
{
    /// <summary>A table of the target.</summary>
    /// <param name="Columns">Live columns that are not generated, with their types.</param>
    /// <param name="Generated">Live columns that are: no row brings a value for them.</param>
    /// <param name="Children">Statements that part it from its partitions and heirs.</param>
    /// <param name="Parents">Statements that part it from what it is a partition or heir of.</param>
    sealed record Standing(
        bool Partitioned, IReadOnlyDictionary<string, string> Columns, IReadOnlyList<string> Generated, IReadOnlyList<string> Children,
        IReadOnlyList<string> Parents);

    /// <summary>Statements that were needed, in the order in which they ran; empty when the tables fitted. A column of a type that the target does not have
    /// becomes text.</summary>
    /// <param name="others">Tables that the vault knows, but that did not live at the target: they go.</param>
    public static async Task<IReadOnlyList<string>> ApplyAsync(
        NpgsqlConnection connection, IReadOnlyList<RelationShape> shapes, IEnumerable<RelationShape> others, CancellationToken stop)
    {
        var ran = new List<string>();
        // One after another, each on what the one before has left: a table dropped may have been another's parent.
        foreach (var other in others)
            // A partitioned one holds no rows and is none of these: it took the name.
            if (await LookAsync(connection, other.Schema, other.Name, stop) is { Partitioned: false } standing)
                await RunAsync([.. standing.Children, $"DROP TABLE {SqlText.Qualified(other.Schema, other.Name)} CASCADE"]);
        var unknown = await UnknownTypesAsync(connection, shapes, stop);
        foreach (var shape in shapes.Select(shape => WithoutTypes(shape, unknown)))
            await RunAsync(Fit(shape, await LookAsync(connection, shape.Schema, shape.Name, stop)));
        return ran;

        async Task RunAsync(IEnumerable<string> statements)
        {
            foreach (var statement in statements)
            {
                await ScriptRunner.ExecuteAsync(connection, statement, stop);
                ran.Add(statement);
            }
        }
    }

    /// <summary>Statements that part a table from what it is a partition or heir of; none when it is nothing's.</summary>
    internal static async Task<IReadOnlyList<string>> PartingAsync(
        NpgsqlConnection connection, string schema, string table, CancellationToken stop) =>
        (await LookAsync(connection, schema, table, stop))?.Parents ?? [];

    static IEnumerable<string> Fit(RelationShape shape, Standing? there)
    {
        var table = SqlText.Qualified(shape.Schema, shape.Name);
        if (there is { Partitioned: true })
        {
            foreach (var statement in there.Children)
                yield return statement;
            yield return $"DROP TABLE {table} CASCADE";
            there = null;
        }
        if (there is null)
        {
            yield return $"CREATE SCHEMA IF NOT EXISTS {SqlText.Identifier(shape.Schema)}";
            yield return $"CREATE TABLE {table} ({string.Join(", ", shape.Columns.Select(Define))})";
            yield break;
        }
        var changes = Changes(shape, table, there).ToList();
        if (changes.Count == 0)
            yield break;
        // Inherited columns cannot be changed alone.
        foreach (var statement in there.Parents.Concat(changes))
            yield return statement;
    }

    static IEnumerable<string> Changes(RelationShape shape, string table, Standing there)
    {
        foreach (var extra in there.Columns.Keys.Where(name => shape.Columns.All(column => column.Name != name))
            .Concat(there.Generated.Where(name => shape.Columns.Any(column => column.Name == name))))
            yield return $"ALTER TABLE {table} DROP COLUMN {SqlText.Identifier(extra)} CASCADE";
        foreach (var column in shape.Columns)
            if (!there.Columns.TryGetValue(column.Name, out var type))
                yield return $"ALTER TABLE {table} ADD COLUMN {Define(column)}";
            else if (column.TypeName.Length > 0 && type != column.TypeName)
            {
                yield return $"ALTER TABLE {table} DROP COLUMN {SqlText.Identifier(column.Name)} CASCADE";
                yield return $"ALTER TABLE {table} ADD COLUMN {Define(column)}";
            }
    }

    static async Task<HashSet<string>> UnknownTypesAsync(NpgsqlConnection connection, IReadOnlyList<RelationShape> shapes, CancellationToken stop)
    {
        const string sql = "SELECT name FROM unnest($1::text[]) name WHERE to_regtype(name) IS NULL";
        var names = shapes.SelectMany(shape => shape.Columns).Select(column => column.TypeName).Where(name => name.Length > 0).Distinct().ToArray();
        var unknown = new HashSet<string>();
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = names } } };
        await using var rows = await command.ExecuteReaderAsync(stop);
        while (await rows.ReadAsync(stop))
            unknown.Add(rows.GetString(0));
        return unknown;
    }

    static RelationShape WithoutTypes(RelationShape shape, HashSet<string> unknown) => shape.Columns.Any(column => unknown.Contains(column.TypeName))
        ? shape with { Columns = [.. shape.Columns.Select(column => unknown.Contains(column.TypeName) ? column with { TypeName = "text" } : column)] }
        : shape;

    static string Define(ColumnShape column) =>
        $"{SqlText.Identifier(column.Name)} {(column.TypeName.Length > 0 ? column.TypeName : "text")}";

    /// <returns>Null when there is no such table.</returns>
    static async Task<Standing?> LookAsync(NpgsqlConnection connection, string schema, string table, CancellationToken stop)
    {
        const string sql = """
            WITH this AS (
              SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')),
            bonds AS (
              SELECT i.inhparent, i.inhrelid, CASE WHEN child.relispartition
                THEN format('ALTER TABLE %I.%I DETACH PARTITION %I.%I', pn.nspname, parent.relname, cn.nspname, child.relname)
                ELSE format('ALTER TABLE %I.%I NO INHERIT %I.%I', cn.nspname, child.relname, pn.nspname, parent.relname) END AS part
              FROM pg_inherits i JOIN pg_class child ON child.oid = i.inhrelid JOIN pg_namespace cn ON cn.oid = child.relnamespace
                JOIN pg_class parent ON parent.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = parent.relnamespace
              WHERE child.relkind IN ('r', 'p'))
            SELECT relkind = 'p',
              array(SELECT attname::text FROM pg_attribute WHERE attrelid = oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum),
              array(SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                WHERE attrelid = oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum),
              array(SELECT attname::text FROM pg_attribute WHERE attrelid = oid AND attnum > 0 AND NOT attisdropped AND attgenerated <> ''),
              array(SELECT part FROM bonds WHERE inhparent = oid ORDER BY part), array(SELECT part FROM bonds WHERE inhrelid = oid ORDER BY part)
            FROM this
            """;
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = schema }, new() { Value = table } } };
        await using var row = await command.ExecuteReaderAsync(stop);
        if (!await row.ReadAsync(stop))
            return null;
        var (names, types) = (row.GetFieldValue<string[]>(1), row.GetFieldValue<string[]>(2));
        return new Standing(row.GetBoolean(0), names.Zip(types).ToDictionary(column => column.First, column => column.Second),
            row.GetFieldValue<string[]>(3), row.GetFieldValue<string[]>(4), row.GetFieldValue<string[]>(5));
    }
}
