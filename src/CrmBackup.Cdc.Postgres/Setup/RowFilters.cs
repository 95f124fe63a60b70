using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Asks the server which columns a row filter reads. One that reads columns outside the replica identity makes the CRM's
/// UPDATE fail, and PostgreSQL says so only then.</summary>
static class RowFilters
{
    /// <returns>Tables that need FULL for their filter.</returns>
    /// <exception cref="UsageException">A predicate is not one, or the server is too old for row filters.</exception>
    public static async Task<IReadOnlySet<uint>> CheckAsync(
        NpgsqlConnection connection, SourceFacts facts, ProtectedScope scope, CancellationToken stop)
    {
        var needFull = new HashSet<uint>();
        foreach (var choice in scope.Rows)
        {
            if (facts.Server.Major < 15)
                throw new UsageException($"--rows {choice.Table}: row filters need PostgreSQL 15 or newer", "Protect the whole table.");
            var tables = facts.Tables.Where(table => scope.Chooses(table) && ProtectedScope.Matches(choice.Table, table)).ToList();
            if (tables.Count == 0)
                throw new UsageException($"--rows {choice.Table}: no chosen table has that name", "Check its schema and spelling.");
            foreach (var table in tables)
                if (await ReadsOutsideKeyAsync(connection, table, choice.Predicate, stop))
                    needFull.Add(table.Oid);
        }
        return needFull;
    }

    /// <summary>A temporary view over the table knows which columns its condition uses. Rolled back.</summary>
    static async Task<bool> ReadsOutsideKeyAsync(
        NpgsqlConnection connection, TableFacts table, string predicate, CancellationToken stop)
    {
        await using var transaction = await connection.BeginTransactionAsync(stop);
        try
        {
            await using var view = new NpgsqlCommand(
                $"CREATE TEMPORARY VIEW crmbackup_filter AS SELECT 1 AS one FROM ONLY {table.Sql} WHERE ({predicate})", connection);
            await view.ExecuteNonQueryAsync(stop);
            const string sql = """
                SELECT EXISTS (
                    SELECT d.refobjsubid FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
                    WHERE d.classid = 'pg_rewrite'::regclass AND r.ev_class = 'pg_temp.crmbackup_filter'::regclass
                      AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid > 0
                    EXCEPT SELECT k.attnum FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid
                        AND ((c.relreplident = 'd' AND i.indisprimary) OR (c.relreplident = 'i' AND i.indisreplident)),
                        unnest(i.indkey::int2[]) AS k (attnum) WHERE c.oid = $1)
                """;
            await using var columns = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = table.Oid, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Oid } } };
            return (bool)(await columns.ExecuteScalarAsync(stop))!;
        }
        catch (PostgresException failure)
        {
            throw new UsageException($"--rows {table.FullName}: {failure.MessageText}",
                "Give a condition over the table's own columns, as in --rows \"public.events:kind <> 'debug'\".");
        }
    }
}
