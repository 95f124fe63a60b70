using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The transaction that has been open longest, running or prepared: WAL since its beginning is kept for every slot, and a new slot
/// waits for its end.</summary>
/// <param name="Who">In words, with the process or the gid by which it can be ended.</param>
public sealed record OldestTransaction(string Who, TimeSpan Age)
{
    /// <returns>Null when none that has written is older than <paramref name="age"/>.</returns>
    public static async Task<OldestTransaction?> FindAsync(NpgsqlConnection connection, TimeSpan age, CancellationToken stop)
    {
        const string sql = """
            SELECT who, age FROM (
                SELECT format('process %s (%s) in database %s', pid, coalesce(nullif(application_name, ''), 'unnamed'), datname) AS who,
                    clock_timestamp() - xact_start AS age
                FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
                UNION ALL
                SELECT format('prepared transaction %L of %s in database %s', gid, owner, database), clock_timestamp() - prepared
                FROM pg_prepared_xacts) open
            WHERE age > $1 ORDER BY age DESC LIMIT 1
            """;
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = age } } };
        await using var row = await command.ExecuteReaderAsync(stop);
        return await row.ReadAsync(stop) ? new OldestTransaction(row.GetString(0), row.GetTimeSpan(1)) : null;
    }
}
