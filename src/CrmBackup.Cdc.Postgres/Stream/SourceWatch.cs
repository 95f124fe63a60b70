using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The source at one moment.</summary>
/// <param name="Time">Of the source's clock, read before <paramref name="Written"/>.</param>
/// <param name="Written">End of the WAL as inserted, a border between records: every transaction visible at <paramref name="Time"/>
/// ended at or before it.</param>
/// <param name="NextXid">The next transaction's 64-bit id.</param>
public readonly record struct SourceMoment(SourceTime Time, Lsn Written, ulong NextXid);

/// <summary>An ordinary connection beside the stream, for the small questions. One question at a time.</summary>
public sealed class SourceWatch : IAsyncDisposable
{
    readonly NpgsqlConnection _connection;
    readonly SequenceReader _sequences;

    SourceWatch(NpgsqlConnection connection) => (_connection, _sequences) = (connection, new SequenceReader(connection));

    /// <summary>For what is done before the first question.</summary>
    public NpgsqlConnection Connection => _connection;

    public static async Task<SourceWatch> OpenAsync(NpgsqlConnectionStringBuilder settings, CancellationToken stop) =>
        new(await SourceConnection.OpenAsync(settings, stop));

    /// <exception cref="RefusedException">Commits of the source wait for our walsender (rule 19).</exception>
    public async Task<SourceMoment> LookAsync(int walSenderPid, CancellationToken stop)
    {
        const string sql = """
            SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_current_wal_insert_lsn()::text,
                pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
                (SELECT sync_state FROM pg_stat_replication WHERE pid = $1)
            """;
        await using var command = new NpgsqlCommand(sql, _connection) { Parameters = { new() { Value = walSenderPid } } };
        await using var row = await command.ExecuteReaderAsync(stop);
        await row.ReadAsync(stop);
        if (!row.IsDBNull(3) && row.GetString(3) != "async")
            throw new RefusedException(
                $"the source took this backup for a synchronous standby (sync_state = {row.GetString(3)}): its commits wait for us",
                "Name the real standbys in synchronous_standby_names, without '*'.");
        return new SourceMoment(
            new SourceTime(row.GetInt64(0)), Lsn.Parse(row.GetString(1)), (ulong)row.GetInt64(2));
    }

    /// <summary>All protected tables, then a barrier: everything visible to the inventory was committed before it.</summary>
    public async Task<Inventory> TakeInventoryAsync(uint timeline, CancellationToken stop)
    {
        var tables = await TableCatalog.ReadAsync(_connection, stop);
        return new Inventory(new Position(timeline, await Barrier.EmitAsync(_connection, "inventory", stop)), tables);
    }

    public Task<IReadOnlyList<SequenceState>> SampleSequencesAsync(CancellationToken stop) => _sequences.ReadAsync(stop);

    public async ValueTask DisposeAsync()
    {
        await _sequences.DisposeAsync();
        await _connection.DisposeAsync();
    }
}
