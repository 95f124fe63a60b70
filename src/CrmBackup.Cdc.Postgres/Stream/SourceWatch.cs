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
    readonly TimeProvider _clock;
    StreamFacts? _facts;
    CatalogWatch? _catalog;

    SourceWatch(NpgsqlConnection connection, TimeProvider clock) => (_connection, _sequences, _clock) = (connection, new SequenceReader(connection), clock);

    /// <summary>For what is done before the first question.</summary>
    public NpgsqlConnection Connection => _connection;

    public static async Task<SourceWatch> OpenAsync(NpgsqlConnectionStringBuilder settings, TimeProvider clock, CancellationToken stop) =>
        new(await SourceConnection.OpenAsync(settings, stop), clock);

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
        var tables = await CatalogRace.AskAsync(() => TableCatalog.ReadAsync(_connection, stop), _clock, stop);
        return new Inventory(new Position(timeline, await Barrier.EmitAsync(_connection, "inventory", stop)), tables);
    }

    /// <summary>From here on <see cref="LookAtCatalogAsync"/> compares.</summary>
    /// <param name="since">Snapshot of the last look that the archive judged; null when there was none.</param>
    public void WatchCatalog(StreamFacts facts, uint timeline, string? since) =>
        (_facts, _catalog) = (facts, new CatalogWatch(_connection, timeline, since, _clock));

    /// <param name="moment">Of <see cref="LookAsync"/>, just before.</param>
    /// <returns>Null when there is nothing to tell; and whether a damaged set-up can be mended.</returns>
    /// <exception cref="SetupRenewedException">The stream is to be opened again.</exception>
    public async Task<(CatalogSeen? Seen, bool CanMend)> LookAtCatalogAsync(SourceMoment moment, CancellationToken stop)
    {
        var signs = await CatalogRace.AskAsync(() => SetupSigns.ReadAsync(_connection, _facts!.Publications, _facts.Incarnation, stop), _clock, stop);
        return (await _catalog!.LookAsync(moment, signs, stop), signs.CanMend);
    }

    /// <summary>Where updates and deletes have a publication of their own: sees to the tables that are not in it, or can no longer be.
    /// Outside the CRM's transactions, and without waiting for any lock: what cannot be had now is asked for again.</summary>
    /// <returns>True when there was any.</returns>
    public async Task<bool> TellChangesAsync(CancellationToken stop)
    {
        var untold = await CatalogRace.AskAsync(() => UntoldAsync(stop), _clock, stop);
        foreach (var oid in untold)
            await CatalogRace.AskAsync(() => TellAsync(oid, stop), _clock, stop);
        return untold.Count > 0;
    }

    async Task<object?> TellAsync(uint oid, CancellationToken stop)
    {
        await using var tell = new NpgsqlCommand("SELECT crmbackup.tell_changes($1)", _connection)
        {
            Parameters = { new() { Value = oid, NpgsqlDbType = NpgsqlTypes.NpgsqlDbType.Oid } },
        };
        return await tell.ExecuteScalarAsync(stop);
    }

    async Task<List<uint>> UntoldAsync(CancellationToken stop)
    {
        var sql = $"""
            WITH published AS MATERIALIZED ({PublishedTables.Sql(_connection.PostgreSqlVersion.Major)})
            SELECT c.oid FROM published t JOIN pg_class c ON c.oid = t.relid
            JOIN pg_namespace n ON n.oid = c.relnamespace JOIN crmbackup.settings s ON s.key = 'changesPublication'
            JOIN pg_publication p ON p.pubname = s.value
            LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid
            LEFT JOIN pg_trigger g ON g.tgrelid = c.oid AND g.tgname = 'crmbackup_changes' AND g.tgenabled = 'A'
            WHERE n.nspname <> 'crmbackup' AND (
              (r.oid IS NULL) = (g.oid IS NULL)
              -- Listed, and its UPDATE fails.
              OR r.oid IS NOT NULL AND CASE c.relreplident
                WHEN 'f' THEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attgenerated <> '')
                ELSE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique AND i.indimmediate
                  AND i.indpred IS NULL AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)) END)
            ORDER BY 1 LIMIT 1000
            """;
        var untold = new List<uint>();
        await using (var command = new NpgsqlCommand(sql, _connection))
        await using (var rows = await command.ExecuteReaderAsync(stop))
            while (await rows.ReadAsync(stop))
                untold.Add(rows.GetFieldValue<uint>(0));
        return untold;
    }

    public Task<IReadOnlyList<SequenceState>> SampleSequencesAsync(CancellationToken stop) => _sequences.ReadAsync(stop);

    /// <summary>A message under a prefix that nobody obeys: it needs nothing of our schema.</summary>
    public Task WriteAnchorAsync(CancellationToken stop) => Barrier.EmitUnsealedAsync(_connection, stop);

    public async ValueTask DisposeAsync()
    {
        await _sequences.DisposeAsync();
        await _connection.DisposeAsync();
    }
}
