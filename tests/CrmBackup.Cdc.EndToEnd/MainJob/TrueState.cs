using System.Text;
using Npgsql;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What a database holds: per table the count of its rows and an order-independent hash of their canonical text, computed by
/// PostgreSQL itself, so that nothing of ours is its own witness.</summary>
sealed record TrueState(string Lsn, DateTimeOffset Time, IReadOnlyDictionary<string, string> Tables, IReadOnlyDictionary<string, long> Sequences)
{
    const string Canonical = "SET datestyle='ISO'; SET intervalstyle='postgres'; SET timezone='UTC'; SET extra_float_digits=3; "
        + "SET bytea_output='hex'; SET search_path=pg_catalog;";

    /// <summary>Reads the state while no writer is under way, so that it belongs to exactly one LSN and to one moment.</summary>
    public static async Task<TrueState> RecordAsync(string connectionString)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false;Command Timeout=120");
        await connection.OpenAsync();
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await ReadAsync(connection, hold: true);
            }
            catch (PostgresException deadlock) when (deadlock.SqlState is "40P01" or "42P01" && attempt < 20)
            {
                // The writers won; ask again.
            }
        }
    }

    /// <summary>Reads the state of a database that nobody writes to.</summary>
    public static async Task<TrueState> OfAsync(string connectionString)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false;Command Timeout=120");
        await connection.OpenAsync();
        return await ReadAsync(connection, hold: false);
    }

    /// <summary>Differences in words, empty when this (restored) state equals the recorded one. Sequences may be ahead, never behind.</summary>
    public IReadOnlyList<string> DifferencesFrom(TrueState recorded)
    {
        var differences = new List<string>();
        foreach (var table in recorded.Tables.Keys.Union(Tables.Keys).Order())
            if (!recorded.Tables.TryGetValue(table, out var expected))
                differences.Add($"{table} should not exist");
            else if (!Tables.TryGetValue(table, out var actual))
                differences.Add($"{table} is missing");
            else if (actual != expected)
                differences.Add($"{table} has {actual}, recorded {expected}");
        foreach (var (sequence, expected) in recorded.Sequences)
            if (!Sequences.TryGetValue(sequence, out var actual) || actual < expected)
                differences.Add($"sequence {sequence} is at {actual}, recorded {expected}");
        return differences;
    }

    static async Task<TrueState> ReadAsync(NpgsqlConnection connection, bool hold)
    {
        await ExecuteAsync(connection, "RESET ALL; " + Canonical);
        await using var transaction = await connection.BeginTransactionAsync();
        var names = await ListAsync(connection, """
            SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'crmbackup')
              AND n.nspname NOT LIKE 'pg\_%' ORDER BY 1
            """);
        if (hold && names.Count > 0)
            await ExecuteAsync(connection, $"LOCK TABLE {string.Join(", ", names.Select(name => "ONLY " + name))} IN SHARE MODE");
        var lsn = (await ListAsync(connection, "SELECT pg_current_wal_insert_lsn()::text"))[0];
        var time = DateTimeOffset.Parse((await ListAsync(connection, "SELECT clock_timestamp()::text"))[0]);
        var tables = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (var name in names)
            tables[name] = (await ListAsync(connection, $"""
                SELECT count(*) || ' rows, ' || coalesce(sum(('x' || substr(md5(t::text), 1, 16))::bit(64)::bigint::numeric), 0) FROM ONLY {name} t
                """))[0];
        var sequences = new Dictionary<string, long>();
        foreach (var line in await ListAsync(connection, """
            SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename) || ' ' || coalesce(last_value, 0) FROM pg_sequences
            WHERE schemaname NOT IN ('crmbackup')
            """))
            sequences[line[..line.LastIndexOf(' ')]] = long.Parse(line[(line.LastIndexOf(' ') + 1)..]);
        await transaction.RollbackAsync();
        return new TrueState(lsn, time, tables, sequences);
    }

    static async Task ExecuteAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>A query's first column.</summary>
    internal static async Task<List<string>> ListAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await using var reader = await command.ExecuteReaderAsync();
        var lines = new List<string>();
        while (await reader.ReadAsync())
            lines.Add(reader.GetValue(0).ToString() ?? "");
        return lines;
    }

    public override string ToString() =>
        new StringBuilder().AppendJoin('\n', Tables.Select(table => $"{table.Key}: {table.Value}")).ToString();
}
