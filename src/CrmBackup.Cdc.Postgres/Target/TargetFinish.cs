using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>What follows the rows and the indexes: sequences, materialized views, statistics.</summary>
public static class TargetFinish
{
    /// <summary>Sets a sequence that the target has. A raised one goes at least to the end of its owned column, in its direction.</summary>
    /// <returns>False when the target has no such sequence.</returns>
    public static async Task<bool> SetSequenceAsync(NpgsqlConnection connection, SequencePlan sequence, CancellationToken stop)
    {
        var state = sequence.State;
        var name = SqlText.Literal(SqlText.Qualified(state.Schema, state.Name));
        await using var command = new NpgsqlCommand(
            $"SELECT s.oid FROM pg_class s WHERE s.oid = to_regclass({name}) AND s.relkind = 'S'", connection);
        if (await command.ExecuteScalarAsync(stop) is null)
            return false;
        var value = long.Parse(state.LastValue, System.Globalization.CultureInfo.InvariantCulture);
        var called = state.IsCalled;
        if (sequence.Raise && await OwnedEndAsync(connection, name, state.Increment < 0, stop) is { } end
            && (state.Increment < 0 ? end < value : end > value))
            (value, called) = (end, true);
        await using var set = new NpgsqlCommand(
            $"SELECT setval({name}::regclass, {value}, {(called ? "true" : "false")})", connection);
        await set.ExecuteScalarAsync(stop);
        return true;
    }

    /// <param name="owner">Null: nothing owns it.</param>
    /// <returns>Null when it is made.</returns>
    public static Task<ScriptViolation?> MakeSequenceAsync(
        NpgsqlConnection connection, SequenceState state, RelationShape? owner, string? column, CancellationToken stop) => ScriptRunner.TryAsync(
        connection, $"CREATE SEQUENCE {SqlText.Qualified(state.Schema, state.Name)} INCREMENT BY {state.Increment}"
            + (owner is null || column is null ? "" : $" OWNED BY {SqlText.Qualified(owner.Schema, owner.Name)}.{SqlText.Identifier(column)}"), stop);

    /// <summary>Fills every materialized view that is not populated, whatever order they need each other in.</summary>
    /// <returns>Those that cannot be filled.</returns>
    public static async Task<IReadOnlyList<ScriptViolation>> RefreshViewsAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var waiting = await UnpopulatedAsync(connection, stop);
        var failed = new List<ScriptViolation>();
        while (waiting.Count > 0)
        {
            failed.Clear();
            foreach (var view in waiting)
                if (await ScriptRunner.TryAsync(connection, $"REFRESH MATERIALIZED VIEW {view}", stop) is { } violation)
                    failed.Add(violation);
            var left = await UnpopulatedAsync(connection, stop);
            if (left.Count == waiting.Count)
                return failed;
            waiting = left;
        }
        return [];
    }

    /// <summary>CREATE EXTENSION fills its own tables, with what is in the backup too. Its triggers and foreign keys are there already.</summary>
    /// <param name="restored">Tables that get rows: the others keep what they were made with.</param>
    public static async Task EmptyExtensionTablesAsync(NpgsqlConnection connection, IReadOnlyList<RelationShape> restored, CancellationToken stop)
    {
        await RowObstacle.ReadyAsync(connection, stop);
        var names = restored.Select(shape => SqlText.Qualified(shape.Schema, shape.Name)).ToHashSet();
        var tables = new List<string>();
        await using (var command = new NpgsqlCommand("""
            SELECT n.nspname::text, c.relname::text FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind = 'r' AND c.relpersistence = 'p' ORDER BY 1, 2
            """, connection))
        await using (var row = await command.ExecuteReaderAsync(stop))
            while (await row.ReadAsync(stop))
                tables.Add(SqlText.Qualified(row.GetString(0), row.GetString(1)));
        foreach (var table in tables.Where(names.Contains))
            await ScriptRunner.ExecuteAsync(connection, $"DELETE FROM ONLY {table}", stop);
    }

    /// <summary>What of the restored objects is not the source's own, by name.</summary>
    public static async Task<IReadOnlyList<FidelityLine>> ObjectsAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        const int names = 20;
        var lines = new List<FidelityLine>();
        foreach (var (what, why, sql) in _objects)
            if (await ListAsync(connection, sql, stop) is { Count: > 0 } found)
                lines.Add(new FidelityLine($"{what}: {string.Join(", ", found.Take(names))}{(found.Count > names ? $" and {found.Count - names} more" : "")}",
                    Fidelity.Approximate, why));
        return lines;
    }

    static readonly (string What, string Why, string Sql)[] _objects =
    [
        ("unlogged tables", "structure only", Relations("c.relkind = 'r' AND c.relpersistence = 'u'")),
        ("foreign tables", "definition only", Relations("c.relkind = 'f'")),
        ("materialized views", "computed anew from the restored rows", Relations("c.relkind = 'm' AND c.relispopulated")),
        ("tables with generated columns", "computed anew", Relations(
            "c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attgenerated <> '' AND NOT a.attisdropped)")),
        ("subscriptions", "disabled, without a slot", "SELECT subname::text FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1"),
    ];

    static string Relations(string chosen) => $"""
        SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND {chosen} ORDER BY 1
        """;

    public static Task AnalyzeAsync(NpgsqlConnection connection, CancellationToken stop) =>
        ScriptRunner.ExecuteAsync(connection, "ANALYZE", stop);

    static async Task<long?> OwnedEndAsync(NpgsqlConnection connection, string sequence, bool descending, CancellationToken stop)
    {
        string? owned = null;
        await using (var command = new NpgsqlCommand($"""
            SELECT format('SELECT %s(%I)::bigint FROM %I.%I', {SqlText.Literal(descending ? "min" : "max")}, a.attname, n.nspname, t.relname)
            FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace n ON n.oid = t.relnamespace
            JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.classid = 'pg_class'::regclass AND d.objid = {sequence}::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
              AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
            """, connection))
            owned = (string?)await command.ExecuteScalarAsync(stop);
        if (owned is null)
            return null;
        await using var highest = new NpgsqlCommand(owned, connection);
        return await highest.ExecuteScalarAsync(stop) as long?;
    }

    static Task<List<string>> UnpopulatedAsync(NpgsqlConnection connection, CancellationToken stop) =>
        ListAsync(connection, "SELECT format('%I.%I', schemaname, matviewname) FROM pg_matviews WHERE NOT ispopulated ORDER BY 1", stop);

    static async Task<List<string>> ListAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        var names = new List<string>();
        await using var command = new NpgsqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync(stop);
        while (await reader.ReadAsync(stop))
            names.Add(reader.GetString(0));
        return names;
    }
}
