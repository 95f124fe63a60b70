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

    static async Task<List<string>> UnpopulatedAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var names = new List<string>();
        await using var command = new NpgsqlCommand(
            "SELECT format('%I.%I', schemaname, matviewname) FROM pg_matviews WHERE NOT ispopulated ORDER BY 1", connection);
        await using var reader = await command.ExecuteReaderAsync(stop);
        while (await reader.ReadAsync(stop))
            names.Add(reader.GetString(0));
        return names;
    }
}
