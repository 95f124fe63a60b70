using System.Text.Json;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The protected tables as the catalog shows them: the same image that our event triggers emit.</summary>
public static class TableCatalog
{
    /// <summary>Every table that the publication sends rows of: ordinary, permanent, leaf partitions one by one; not our own.</summary>
    /// <remarks>One query in one snapshot. Takes locks only to measure sizes, and none that it would have to wait for.</remarks>
    public static async Task<IReadOnlyList<CatalogTable>> ReadAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var tables = new List<CatalogTable>();
        await using var command = new NpgsqlCommand(AllSql(connection.PostgreSqlVersion.Major), connection);
        await using var reader = await command.ExecuteReaderAsync(stop);
        while (await reader.ReadAsync(stop))
            tables.Add(Parse(reader.GetString(0)));
        return tables;
    }

    /// <summary>One table as the connection's transaction sees it; null when there is none (any more).</summary>
    public static async Task<CatalogTable?> FindAsync(NpgsqlConnection connection, uint oid, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("SELECT crmbackup.table_image($1)::text", connection)
        {
            Parameters = { new() { Value = oid, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Oid } },
        };
        return await command.ExecuteScalarAsync(stop) is string image ? Parse(image) : null;
    }

    /// <summary>What <c>crmbackup.table_image</c> returns.</summary>
    public static CatalogTable Parse(string image) =>
        JsonSerializer.Deserialize(image, CoreJson.Default.CatalogTable)
            ?? throw new FormatViolationException("a table image is null");

    /// <summary>The body of <c>table_image</c> over all tables at once: 40,000 calls of it would take a quarter of a minute.
    /// A table that somebody holds ACCESS EXCLUSIVE has the size of its last VACUUM: measuring it would wait.</summary>
    static string AllSql(int major) => $"""
        WITH held AS MATERIALIZED (
            SELECT relation FROM pg_locks
            WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        ), published AS MATERIALIZED (
            {PublishedTables.Sql(major)}
        )

        """
        + Replace(Replace(SetupSql.Functions.Single(function => function.Name == "table_image").Body,
            "WHERE c.oid = relation AND c.relkind IN ('r', 'p')",
            "WHERE c.oid IN (SELECT relid FROM published) AND c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'crmbackup' ORDER BY c.oid"),
            "coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::bigint",
            "CASE WHEN c.oid IN (SELECT relation FROM held) THEN greatest(c.relpages, 0) "
            + "ELSE coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::bigint END");

    static string Replace(string text, string what, string by)
    {
        Invariant.Holds(text.Contains(what, StringComparison.Ordinal), $"table_image no longer reads: {what}");
        return text.Replace(what, by, StringComparison.Ordinal);
    }
}
