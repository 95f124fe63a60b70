using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Reads <see cref="SourceFacts"/>: catalog queries only, no lock that anyone could wait for.</summary>
public static partial class FactsReader
{
    /// <param name="slot">Null: the one that the settings name, else our default for the database.</param>
    /// <param name="role">Null: the one that the settings name, if any.</param>
    public static async Task<SourceFacts> ReadAsync(
        NpgsqlConnection connection, CancellationToken stop, string? slot = null, string? publication = null, string? role = null)
    {
        var server = await ReadServerAsync(connection, stop);
        var setup = await ReadSetupAsync(connection, server, slot, publication, role, stop);
        var tables = await ReadTablesAsync(connection, stop);
        var others = await ReadOthersAsync(connection, stop);
        return new SourceFacts(server, setup, tables, others);
    }

    static async Task<ServerFacts> ReadServerAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var settings = new Dictionary<string, string>();
        var pending = new HashSet<string>();
        const string settingsSql = "SELECT name, setting, pending_restart FROM pg_settings";
        await foreach (var row in RowsAsync(connection, settingsSql, stop))
        {
            if (!row.IsDBNull(1))
                settings[row.GetString(0)] = row.GetString(1);
            if (row.GetBoolean(2))
                pending.Add(row.GetString(0));
        }
        var prepared = new List<PreparedTransaction>();
        const string preparedSql = """
            SELECT gid, owner::text, now() - prepared FROM pg_prepared_xacts
            WHERE database = current_database() ORDER BY prepared
            """;
        await foreach (var row in RowsAsync(connection, preparedSql, stop))
            prepared.Add(new PreparedTransaction(row.GetString(0), row.GetString(1), row.GetTimeSpan(2)));
        var cluster = await SourceIdentity.ClusterAsync(connection, stop);
        const string serverSql = """
            SELECT current_setting('server_version_num')::int, current_database()::text, d.oid, current_user::text,
                r.rolsuper, r.rolreplication OR r.rolsuper, r.rolbypassrls OR r.rolsuper, pg_is_in_recovery(),
                pg_encoding_to_char(d.encoding)::text,
                (SELECT count(*)::int FROM pg_replication_slots),
                (SELECT count(*)::int FROM pg_stat_replication WHERE application_name <> 'crmbackup')
            FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user
            """;
        await foreach (var row in RowsAsync(connection, serverSql, stop))
            return new ServerFacts(
                row.GetInt32(0), row.GetString(1), row.GetFieldValue<uint>(2), row.GetString(3), row.GetBoolean(4), row.GetBoolean(5),
                row.GetBoolean(6), row.GetBoolean(7), row.GetString(8), settings, pending, row.GetInt32(9), row.GetInt32(10), prepared, cluster);
        throw new InvalidOperationException("the server does not know its own database");
    }

    static async Task<IReadOnlyList<TableFacts>> ReadTablesAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var tables = new List<TableFacts>();
        await foreach (var row in RowsAsync(connection, TablesSql, stop))
            tables.Add(new TableFacts(
                row.GetFieldValue<uint>(0), row.GetString(1), row.GetString(2), row.GetChar(3), row.GetChar(4), row.GetChar(5),
                Text(row, 6), row.GetBoolean(7), Text(row, 8), row.GetBoolean(9), row.GetInt64(10), row.GetInt64(11),
                row.GetInt64(12), row.GetDouble(13), row.GetFieldValue<uint>(14), row.GetBoolean(15), row.GetBoolean(16), row.GetBoolean(17)));
        return tables;
    }

    static async Task<IReadOnlyList<ObjectCount>> ReadOthersAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var counts = new List<ObjectCount>();
        await foreach (var row in RowsAsync(connection, OthersSql, stop))
            counts.Add(new ObjectCount(row.GetString(0), row.GetInt64(1), row.GetFieldValue<string[]>(2)));
        return counts;
    }

    static string? Text(NpgsqlDataReader row, int column) => row.IsDBNull(column) ? null : row.GetString(column);

    static async IAsyncEnumerable<NpgsqlDataReader> RowsAsync(
        NpgsqlConnection connection, string sql, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken stop,
        params object[] parameters)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var parameter in parameters)
            command.Parameters.Add(new NpgsqlParameter { Value = parameter });
        await using var reader = await command.ExecuteReaderAsync(stop);
        while (await reader.ReadAsync(stop))
            yield return reader;
    }
}
