using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Makes a target's tables take the rows of given shapes, where its schema comes from another moment.</summary>
public static class SchemaFit
{
    /// <summary>Statements that were needed, in the order in which they ran; empty when the tables fitted.</summary>
    /// <param name="others">Tables that the vault knows, but that did not live at the target: they go.</param>
    public static async Task<IReadOnlyList<string>> ApplyAsync(
        NpgsqlConnection connection, IReadOnlyList<RelationShape> shapes, IEnumerable<RelationShape> others, CancellationToken stop)
    {
        var statements = new List<string>();
        foreach (var other in others)
            if (await ColumnsAsync(connection, other.Schema, other.Name, stop) is not null)
                statements.Add($"DROP TABLE {SqlText.Qualified(other.Schema, other.Name)} CASCADE");
        foreach (var shape in shapes)
            statements.AddRange(Fit(shape, await ColumnsAsync(connection, shape.Schema, shape.Name, stop)));
        foreach (var statement in statements)
            await ScriptRunner.ExecuteAsync(connection, statement, stop);
        return statements;
    }

    static IEnumerable<string> Fit(RelationShape shape, Dictionary<string, string>? there)
    {
        var table = SqlText.Qualified(shape.Schema, shape.Name);
        if (there is null)
        {
            yield return $"CREATE SCHEMA IF NOT EXISTS {SqlText.Identifier(shape.Schema)}";
            yield return $"CREATE TABLE {table} ({string.Join(", ", shape.Columns.Select(Define))})";
            yield break;
        }
        foreach (var extra in there.Keys.Where(name => shape.Columns.All(column => column.Name != name)))
            yield return $"ALTER TABLE {table} DROP COLUMN {SqlText.Identifier(extra)} CASCADE";
        foreach (var column in shape.Columns)
            if (!there.TryGetValue(column.Name, out var type))
                yield return $"ALTER TABLE {table} ADD COLUMN {Define(column)}";
            else if (column.TypeName.Length > 0 && type != column.TypeName)
            {
                // Empty still: a new column of the name is simpler than a conversion, and always possible.
                yield return $"ALTER TABLE {table} DROP COLUMN {SqlText.Identifier(column.Name)} CASCADE";
                yield return $"ALTER TABLE {table} ADD COLUMN {Define(column)}";
            }
    }

    static string Define(ColumnShape column) =>
        $"{SqlText.Identifier(column.Name)} {(column.TypeName.Length > 0 ? column.TypeName : "text")}";

    /// <summary>Live columns that are not generated, with their types; null when there is no such table.</summary>
    static async Task<Dictionary<string, string>?> ColumnsAsync(NpgsqlConnection connection, string schema, string table, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("""
            SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')
            """, connection)
        { Parameters = { new() { Value = schema }, new() { Value = table } } };
        await using var reader = await command.ExecuteReaderAsync(stop);
        Dictionary<string, string>? columns = null;
        while (await reader.ReadAsync(stop))
        {
            columns ??= [];
            if (!await reader.IsDBNullAsync(0, stop))
                columns.Add(reader.GetString(0), reader.GetString(1));
        }
        return columns;
    }
}
