using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>What the source bears for our slot (rule 20).</summary>
/// <param name="RetainedBytes">WAL that is kept for it.</param>
/// <param name="UnreadBytes">Of that, what lies behind the confirmed position: our own delay. The rest is kept because of a transaction that
/// is still open, and a new slot would need it as well.</param>
/// <param name="SpillBytes">Transactions that the walsender wrote out; no limit of the server counts them. Null when the role may not look.</param>
/// <param name="CatalogXminAge">Transactions since the oldest catalog rows that VACUUM must leave for us.</param>
/// <param name="Keeper">Another slot that keeps the same catalog rows whatever becomes of ours, in words: to let go of ours would free nothing.
/// A new slot begins with what others hold, so what it was made with is theirs. Null when the age is ours to answer for.</param>
/// <param name="KeepBytes"><c>max_slot_wal_keep_size</c>; null when it is without limit.</param>
/// <param name="FreeBytes">Free on the disk of the server's data, when that is on this machine.</param>
public sealed record SlotWeight(
    string Slot, long RetainedBytes, long UnreadBytes, long? SpillBytes, long CatalogXminAge, string? Keeper, long? KeepBytes, long? FreeBytes)
{
    public long Bytes => RetainedBytes + (SpillBytes ?? 0);

    /// <returns>Null when there is no slot: then nothing is kept.</returns>
    public static async Task<SlotWeight?> ReadAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        const string sql = $"""
            SELECT s.slot_name::text, coalesce(pg_current_wal_lsn() - s.restart_lsn, 0)::bigint,
                greatest(coalesce(pg_current_wal_lsn() - s.confirmed_flush_lsn, 0), 0)::bigint, coalesce(age(s.catalog_xmin), 0)::bigint,
                (SELECT CASE WHEN setting::bigint >= 0 THEN setting::bigint << 20 END FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
                current_setting('data_directory', true),
                CASE WHEN o.age > age(s.catalog_xmin)
                    OR o.age = age(s.catalog_xmin) AND s.catalog_xmin::text = (SELECT value FROM crmbackup.settings WHERE key = '{SlotPlan.InheritedSetting}')
                    THEN format('slot %s%s', o.slot_name, ' of database ' || o.database) END
            FROM pg_replication_slots s JOIN crmbackup.settings k ON k.key = 'slot' AND k.value = s.slot_name AND s.database = current_database()
            LEFT JOIN LATERAL (
                SELECT slot_name, database, greatest(age(xmin), age(catalog_xmin)) AS age FROM pg_replication_slots
                WHERE slot_name <> s.slot_name ORDER BY 3 DESC NULLS LAST LIMIT 1) o ON true
            """;
        SlotWeight weight;
        string? folder = null;
        await using (var command = new NpgsqlCommand(sql, connection))
        await using (var row = await command.ExecuteReaderAsync(stop))
        {
            if (!await row.ReadAsync(stop))
                return null;
            weight = new SlotWeight(
                row.GetString(0), row.GetInt64(1), row.GetInt64(2), null, row.GetInt64(3), row.IsDBNull(6) ? null : row.GetString(6),
                row.IsDBNull(4) ? null : row.GetInt64(4), null);
            folder = row.IsDBNull(5) ? null : row.GetString(5);
        }
        return weight with { SpillBytes = await SpillAsync(connection, weight.Slot, stop), FreeBytes = Free(connection, folder) };
    }

    static async Task<long?> SpillAsync(NpgsqlConnection connection, string slot, CancellationToken stop)
    {
        try
        {
            // The function for pg_monitor came with 15.
            var sql = connection.PostgreSqlVersion.Major >= 15
                ? "SELECT coalesce(sum(size) FILTER (WHERE name LIKE '%.spill'), 0)::bigint FROM pg_ls_replslotdir($1)"
                : """
                  SELECT coalesce(sum((pg_stat_file('pg_replslot/' || $1 || '/' || name, true)).size), 0)::bigint
                  FROM pg_ls_dir('pg_replslot/' || $1, true, false) name WHERE name LIKE '%.spill'
                  """;
            await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = slot } } };
            return (long)(await command.ExecuteScalarAsync(stop))!;
        }
        catch (PostgresException refused) when (refused.SqlState is PostgresErrorCodes.InsufficientPrivilege or PostgresErrorCodes.UndefinedFile)
        {
            return null;
        }
    }

    static long? Free(NpgsqlConnection connection, string? folder)
    {
        if (folder is null || !(connection.Host is "localhost" or "127.0.0.1" or "::1" || connection.Host!.StartsWith('/')))
            return null;
        try
        {
            return Directory.Exists(folder) ? new DriveInfo(folder).AvailableFreeSpace : null;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
