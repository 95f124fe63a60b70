using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The rows of a table that our publication sends: a base that held others would keep them for ever.</summary>
static class PublishedRows
{
    /// <returns>What stands after FROM or JOIN, named <c>t</c>; the table itself where no row filter reduces it.</returns>
    public static async Task<string> FromAsync(NpgsqlConnection connection, CatalogTable table, CancellationToken stop)
    {
        var only = $"ONLY {SqlText.Qualified(table.Schema, table.Name)}";
        return await FilterAsync(connection, table.Oid, stop) is { } filter
            // Under the name of the table alone: a filter's columns are not qualified. The planner pulls it up, indexes and ctid serve on.
            ? $"(SELECT *, ctid FROM {only} WHERE ({filter})) t" : $"{only} t";
    }

    static async Task<string?> FilterAsync(NpgsqlConnection connection, uint oid, CancellationToken stop)
    {
        // Row filters came with 15. Partitions are published under their own names, so only a filter of their own counts.
        if (connection.PostgreSqlVersion.Major < 15)
            return null;
        const string sql = """
            SELECT pg_get_expr(r.prqual, r.prrelid) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
            JOIN crmbackup.settings s ON s.key = 'publication' AND s.value = p.pubname WHERE r.prrelid = $1
            """;
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = oid, DataTypeName = "oid" } } };
        return await command.ExecuteScalarAsync(stop) as string;
    }
}
