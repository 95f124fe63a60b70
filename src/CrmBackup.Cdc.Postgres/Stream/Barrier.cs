using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Commits a small message of ours: everything visible before the call ended at or before the position returned, and the
/// stream passes that position soon, however idle the source is.</summary>
public static class Barrier
{
    public static async Task<Lsn> EmitAsync(NpgsqlConnection connection, string id, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("SELECT crmbackup.barrier($1)::text", connection)
        {
            Parameters = { new() { Value = id } },
        };
        return Lsn.Parse((string)(await command.ExecuteScalarAsync(stop))!);
    }

    /// <summary>The same under a prefix that nobody obeys: it needs nothing of our schema, which may be what is gone.</summary>
    public static async Task<Lsn> EmitUnsealedAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("SELECT pg_logical_emit_message(true, 'crmbackup.look', '')::text", connection);
        return Lsn.Parse((string)(await command.ExecuteScalarAsync(stop))!);
    }
}
