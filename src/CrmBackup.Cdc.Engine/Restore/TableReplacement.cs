using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>Moves restored rows from the tables beside into the tables themselves: all tables in one transaction, or nothing.</summary>
static class TableReplacement
{
    /// <param name="byKey">Only rows with the same key give way (<c>--where</c>); otherwise all rows do.</param>
    public static async Task RunAsync(NpgsqlConnection connection, IReadOnlyList<LoadedTable> loaded, bool byKey, CancellationToken stop)
    {
        await using var transaction = await connection.BeginTransactionAsync(stop);
        // Rows come back as they were: triggers must not act on them again, and keys are proven at the end.
        if (await ScriptRunner.TryAsync(connection, "SET LOCAL session_replication_role = replica", stop) is { } refused)
            throw new RefusedException($"--replace needs to hold back triggers: {refused.Message}",
                "Give a superuser in --target, or take the restored table beside the old one (without --replace).");
        foreach (var table in loaded)
            await RowsAsync(connection, table, byKey, stop);
        foreach (var table in loaded)
            await ProveForeignKeysAsync(connection, table.Plan.Shape, stop);
        foreach (var table in loaded)
            await ScriptRunner.ExecuteAsync(connection, $"DROP TABLE {SqlText.Qualified(table.Into.Schema, table.Into.Name)}", stop);
        await transaction.CommitAsync(stop);
    }

    static async Task RowsAsync(NpgsqlConnection connection, LoadedTable table, bool byKey, CancellationToken stop)
    {
        var shape = table.Plan.Shape;
        var into = SqlText.Qualified(shape.Schema, shape.Name);
        var from = SqlText.Qualified(table.Into.Schema, table.Into.Name);
        var columns = string.Join(", ", shape.Columns.Select(column => SqlText.Identifier(column.Name)));
        var key = shape.Columns.Where(column => column.IsKey).Select(column => SqlText.Identifier(column.Name)).ToList();
        if (byKey && !shape.HasKey)
            throw new RefusedException($"{shape.FullName} has no key: its rows cannot be replaced one by one",
                "Take the rows beside the table (without --replace).");
        var same = byKey
            ? $" t USING {from} r WHERE {string.Join(" AND ", key.Select(column => $"t.{column} = r.{column}"))}" : "";
        foreach (var statement in new[]
        {
            $"LOCK TABLE ONLY {into} IN SHARE ROW EXCLUSIVE MODE",
            $"DELETE FROM ONLY {into}{same}",
            $"INSERT INTO {into} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {from}",
        })
            if (await ScriptRunner.TryAsync(connection, statement, stop) is { } violation)
                throw new RefusedException($"{shape.FullName} cannot take the rows of then: {violation.Message}",
                    "Its columns or constraints changed since: restore it beside (without --replace) and copy what you need.");
    }

    /// <summary>The triggers that check foreign keys were held back: every key from or to the table is asked here.</summary>
    static async Task ProveForeignKeysAsync(NpgsqlConnection connection, RelationShape shape, CancellationToken stop)
    {
        var questions = new List<(string Name, string Sql)>();
        await using (var command = new NpgsqlCommand("""
            SELECT format('%s of %s', k.conname, k.conrelid::regclass),
              format('SELECT count(*) FROM ONLY %s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s)', k.conrelid::regclass,
                string_agg(format('c.%I IS NOT NULL', a.attname), ' AND '), k.confrelid::regclass,
                string_agg(format('p.%I = c.%I', b.attname, a.attname), ' AND '))
            FROM pg_constraint k CROSS JOIN unnest(k.conkey, k.confkey) u(own, other)
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.own
            JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = u.other
            WHERE k.contype = 'f' AND k.convalidated AND to_regclass($1) IN (k.conrelid, k.confrelid)
            GROUP BY k.oid, k.conname, k.conrelid, k.confrelid
            """, connection)
        { Parameters = { new() { Value = SqlText.Qualified(shape.Schema, shape.Name) } } })
        await using (var reader = await command.ExecuteReaderAsync(stop))
            while (await reader.ReadAsync(stop))
                questions.Add((reader.GetString(0), reader.GetString(1)));
        foreach (var (name, sql) in questions)
        {
            await using var question = new NpgsqlCommand(sql, connection);
            if (await question.ExecuteScalarAsync(stop) is long orphans and > 0)
                throw new RefusedException($"replacing {shape.FullName} would break the foreign key {name} for {orphans} rows",
                    "Restore the other table of that key too (--table), or take the rows beside (without --replace).");
        }
    }
}
