using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The slot cannot give the stream any more: it is gone, or its WAL is. A gap; a new slot and new bases are needed.</summary>
public sealed class SlotLostException(string slot, string reason) : BackupException(
    $"slot {slot} {reason}", "Run 'crmbackup init': it makes a new slot; what is between is a gap.", ExitCode.Refused)
{
    /// <summary>The slot is there, and gives the stream of a source that is not what the vault is a backup of.</summary>
    public bool OtherHistory { get; private init; }

    public static SlotLostException OfOtherHistory(string slot, OtherHistoryException why) =>
        new(slot, $"is of no use, {why.Message}") { OtherHistory = true };

    /// <summary>Makes the slot anew; where it stands there still, it is of no use. Waits until every transaction that runs now has ended.
    /// Cut off in between, it is begun once more: what it leaves is again a lost slot, and what was found out stands in the settings.</summary>
    public async Task MakeAnewAsync(NpgsqlConnection connection, int? ownPid, TimeProvider clock, CancellationToken stop)
    {
        if (OtherHistory)
        {
            await SlotState.FreeAsync(connection, slot, ownPid, clock, TimeSpan.FromSeconds(30), stop);
            await ExecuteAsync(connection,
                [SlotPlan.Remember(SlotPlan.OtherHistorySetting, SlotPlan.Undecided), SlotPlan.Remember(SlotPlan.LetGoSetting, Message)], stop);
        }
        await using var letGo = new NpgsqlCommand($"SELECT value FROM crmbackup.settings WHERE key = '{SlotPlan.LetGoSetting}'", connection);
        var why = await letGo.ExecuteScalarAsync(stop) as string ?? Message;
        await ExecuteAsync(connection,
            [SlotPlan.DropIfThere(slot), .. SlotPlan.CreateStatements(slot), SlotPlan.Remember(SlotPlan.RenewedSetting, why)], stop);
    }

    /// <summary>Advances the slot to the end of the WAL: what lies before is a gap.</summary>
    public static async Task SkipAsync(
        NpgsqlConnection connection, string slot, int? ownPid, string why, TimeProvider clock, CancellationToken stop)
    {
        await SlotState.FreeAsync(connection, slot, ownPid, clock, TimeSpan.FromSeconds(30), stop);
        await ExecuteAsync(connection, [.. SlotPlan.AdvanceStatements(slot), SlotPlan.Remember(SlotPlan.RenewedSetting, why)], stop);
    }

    /// <summary>Drops the slot, so that the source keeps nothing for us any more, and leaves word why.</summary>
    public static async Task LetGoAsync(
        NpgsqlConnection connection, string slot, int? ownPid, string why, TimeProvider clock, CancellationToken stop)
    {
        await SlotState.FreeAsync(connection, slot, ownPid, clock, TimeSpan.FromSeconds(30), stop);
        await ExecuteAsync(connection, [SlotPlan.Remember(SlotPlan.LetGoSetting, why), SlotPlan.DropStatement(slot)], stop);
    }

    static async Task ExecuteAsync(NpgsqlConnection connection, IEnumerable<string> statements, CancellationToken stop)
    {
        foreach (var sql in statements)
        {
            await using var command = new NpgsqlCommand(sql, connection);
            await command.ExecuteNonQueryAsync(stop);
        }
    }
}

/// <summary>The replication slot at one moment, and who reads it.</summary>
/// <param name="Replied">When the reader last answered the server: moves while the reader lives.</param>
/// <param name="SenderTimeout"><c>wal_sender_timeout</c>: a reader that is silent for so long is ended by the server; zero: never.</param>
sealed record SlotState(Lsn Confirmed, int? ActivePid, string? Application, DateTime? Since, DateTime? Replied, TimeSpan SenderTimeout)
{
    static readonly TimeSpan _look = TimeSpan.FromMilliseconds(100);
    /// <summary>What a server takes to end a walsender, beyond the time it gives it.</summary>
    static readonly TimeSpan _ending = TimeSpan.FromSeconds(10);

    /// <summary>Waits for a reader that is about to end: the walsender of a broken connection lives on for a moment, and that of a machine that
    /// vanished without a word until the server misses its answers. One that still answers the server is someone else.</summary>
    /// <param name="ownPid">Of a walsender that was ours: it ends.</param>
    /// <param name="patience">The least; as much more as the server gives a silent reader.</param>
    /// <exception cref="RefusedException">Someone else reads the slot.</exception>
    public static async Task<SlotState> FreeAsync(
        NpgsqlConnection connection, string slot, int? ownPid, TimeProvider clock, TimeSpan patience, CancellationToken stop)
    {
        DateTime? replied = null;
        for (var began = clock.GetTimestamp(); ; await Task.Delay(_look, clock, stop))
        {
            var state = await ReadAsync(connection, slot, stop);
            if (state.ActivePid is not { } pid)
                return state;
            replied ??= state.Replied;
            var lives = state.Replied > replied && pid != ownPid;
            var silent = state.SenderTimeout > TimeSpan.Zero ? state.SenderTimeout + _ending : TimeSpan.Zero;
            if (lives || clock.GetElapsedTime(began) > (patience > silent ? patience : silent))
                throw new RefusedException(
                    $"slot {slot} is being read by process {pid} ({state.Application ?? "unknown application"}) since "
                    + $"{state.Since?.ToString("yyyy-MM-dd HH:mm:ss+00", System.Globalization.CultureInfo.InvariantCulture) ?? "an unknown time"}",
                    $"Only one capture may read a slot: stop the other one, or end its session: SELECT pg_terminate_backend({pid});");
        }
    }

    static async Task<SlotState> ReadAsync(NpgsqlConnection connection, string slot, CancellationToken stop)
    {
        const string sql = """
            SELECT s.database::text, s.plugin::text, s.wal_status, s.confirmed_flush_lsn::text, s.active_pid,
                a.application_name, a.backend_start, r.reply_time,
                to_jsonb(s) ->> 'invalidation_reason', to_jsonb(s) ->> 'conflicting',
                (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout')
            FROM pg_replication_slots s
            LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
            LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
            WHERE s.slot_name = $1
            """;
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = slot } } };
        await using var row = await command.ExecuteReaderAsync(stop);
        if (!await row.ReadAsync(stop))
            throw new SlotLostException(slot, "does not exist any more");
        string? Text(int column) => row.IsDBNull(column) ? null : row.GetString(column);
        if (Text(0) != connection.Database || Text(1) != "pgoutput")
            throw new RefusedException(
                $"slot {slot} belongs to database {Text(0) ?? "(none)"} with plugin {Text(1) ?? "(none)"}, not to {connection.Database} with pgoutput",
                SourceIdentity.OfACopy);
        if (Text(2) == "lost" || Text(8) is not null || Text(9) == "true" || Text(3) is not { } confirmed)
            throw new SlotLostException(slot,
                $"was invalidated ({Text(8) ?? (Text(2) == "lost" ? "its WAL was removed: max_slot_wal_keep_size" : "it never became ready")})");
        return new SlotState(
            Lsn.Parse(confirmed), row.IsDBNull(4) ? null : row.GetInt32(4), Text(5),
            row.IsDBNull(6) ? null : row.GetDateTime(6), row.IsDBNull(7) ? null : row.GetDateTime(7),
            TimeSpan.FromMilliseconds(row.GetInt64(10)));
    }
}
