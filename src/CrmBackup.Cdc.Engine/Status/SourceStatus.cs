using System.Globalization;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>What the source says of our slot.</summary>
/// <param name="Lsn">Where the source writes its WAL now.</param>
/// <param name="LagBytes">WAL between what the vault covers and that; not all of it is ours.</param>
/// <param name="SlotExists">False also when init was not run.</param>
/// <param name="WalStatus">reserved, extended, unreserved or lost.</param>
/// <param name="RetainedBytes">WAL that the server keeps for us.</param>
/// <param name="SafeBytes">How much more it will keep before it lets us go; null = without limit.</param>
/// <param name="SpillBytes">Transactions that the server wrote out while decoding them for us; null when the role may not look.</param>
/// <param name="CatalogXminAge">Transactions since the oldest catalog rows that it keeps for us.</param>
/// <param name="WaitsFor">The oldest transaction still open or prepared, older than a minute: it, not we, may be what holds WAL.</param>
public sealed record SourceStatus(
    Lsn Lsn, long? LagBytes, string Slot, bool SlotExists, bool Active, string? WalStatus, Lsn? ConfirmedLsn, long RetainedBytes,
    long? SafeBytes, long? SpillBytes, long CatalogXminAge, string? WaitsFor)
{
    const int Tries = 3;

    /// <param name="vault">Is read again where the slot is beyond it: it may have been written to while the source was asked.</param>
    public static async Task<SourceStatus> ReadAsync(NpgsqlConnection source, BackupVault vault, CancellationToken stop)
    {
        for (var tries = 1; ; tries++)
        {
            var durable = vault.State.CoveredTo?.Position.Lsn;
            var status = await ReadAsync(source, durable, stop);
            if (status.ConfirmedLsn is not { } confirmed || confirmed <= durable || tries == Tries)
                return status;
            await vault.RefreshAsync(stop);
        }
    }

    static async Task<SourceStatus> ReadAsync(NpgsqlConnection source, Lsn? durable, CancellationToken stop)
    {
        const string sql = """
            SELECT pg_current_wal_insert_lsn()::text, k.value, s.slot_name IS NOT NULL, coalesce(s.active, false), s.wal_status,
                s.confirmed_flush_lsn::text, coalesce(pg_current_wal_lsn() - s.restart_lsn, 0)::bigint, s.safe_wal_size,
                coalesce(age(s.catalog_xmin), 0)::bigint
            FROM crmbackup.settings k LEFT JOIN pg_replication_slots s ON s.slot_name = k.value
            WHERE k.key = 'slot'
            """;
        var weight = await SlotWeight.ReadAsync(source, stop);
        var oldest = await OldestTransaction.FindAsync(source, TimeSpan.FromMinutes(1), stop);
        await using var command = new NpgsqlCommand(sql, source);
        await using var row = await command.ExecuteReaderAsync(stop);
        if (!await row.ReadAsync(stop))
            throw new RefusedException(
                $"crmbackup.settings in {source.Database} names no slot", "Run 'crmbackup init' with this source and vault.");
        string? Text(int column) => row.IsDBNull(column) ? null : row.GetString(column);
        var lsn = Lsn.Parse(row.GetString(0));
        return new SourceStatus(
            lsn, durable is { } known ? Math.Max(0, unchecked((long)(lsn.Value - known.Value))) : null,
            row.GetString(1), row.GetBoolean(2), row.GetBoolean(3), Text(4), Text(5) is { } confirmed ? Lsn.Parse(confirmed) : null,
            row.GetInt64(6), row.IsDBNull(7) ? null : row.GetInt64(7), weight?.SpillBytes, row.GetInt64(8),
            oldest is null ? null : string.Create(CultureInfo.InvariantCulture, $"{oldest.Who}, open for {Math.Floor(oldest.Age.TotalSeconds)} s"));
    }

    /// <summary>What stands between this slot and protection.</summary>
    internal IEnumerable<string> Problems()
    {
        if (!SlotExists)
            yield return $"the slot {Slot} does not exist on the source";
        else if (WalStatus == "lost")
            yield return $"the slot {Slot} is lost: the server removed WAL that was not read yet";
        else if (!Active)
            yield return $"nobody reads the slot {Slot}: capture is not running";
    }
}
