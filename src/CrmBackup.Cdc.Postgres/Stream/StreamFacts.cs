using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>What the source says of itself and of our set-up in it, read before a stream is opened.</summary>
/// <param name="WaitFor">Transactions that ran when slot creation returned: no base under a snapshot in which one still runs (rule 4).</param>
/// <param name="WalSenderTimeout">Zero: never.</param>
public sealed record StreamFacts(
    int ServerVersion, string Database, uint DatabaseOid, string Slot, IReadOnlyList<string> Publications, Guid Incarnation,
    IReadOnlyList<ulong> WaitFor, MessageKey Key, TimeSpan WalSenderTimeout, string SynchronousStandbyNames,
    bool AllTables, IReadOnlyList<string> Fidelity)
{
    const string HowToPrepare = "Run 'crmbackup init' on this source.";

    /// <exception cref="RefusedException">The source was not prepared, or would wait for us as for a standby.</exception>
    public static async Task<StreamFacts> ReadAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var settings = await SettingsAsync(connection, stop);
        string Setting(string name) => settings.GetValueOrDefault(name)
            ?? throw new RefusedException($"crmbackup.settings in {connection.Database} has no '{name}'", HowToPrepare);
        string[] publications = [Setting("publication")];
        var (allTables, fidelity) = await FidelityAsync(connection, publications, stop);
        const string sql = """
            SELECT current_setting('server_version_num')::int, current_database()::text,
                (SELECT oid FROM pg_database WHERE datname = current_database()),
                (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout'),
                current_setting('synchronous_standby_names'), inner_pad, outer_pad
            FROM crmbackup.secret
            """;
        await using var command = new NpgsqlCommand(sql, connection);
        await using var row = await command.ExecuteReaderAsync(stop);
        if (!await row.ReadAsync(stop))
            throw new RefusedException($"crmbackup.secret in {connection.Database} is empty", HowToPrepare);
        var facts = new StreamFacts(
            row.GetInt32(0), row.GetString(1), row.GetFieldValue<uint>(2), Setting("slot"), publications,
            Guid.Parse(Setting("incarnation")),
            [.. settings.GetValueOrDefault("waitFor", "").Split(',', StringSplitOptions.RemoveEmptyEntries).Select(ulong.Parse)],
            new MessageKey(row.GetFieldValue<byte[]>(5), row.GetFieldValue<byte[]>(6)),
            TimeSpan.FromMilliseconds(row.GetInt64(3)), row.GetString(4), allTables, fidelity);
        facts.RefuseToBeWaitedFor();
        return facts;
    }

    static async Task<Dictionary<string, string>> SettingsAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        try
        {
            var settings = new Dictionary<string, string>();
            await using var command = new NpgsqlCommand("SELECT key, value FROM crmbackup.settings", connection);
            await using var rows = await command.ExecuteReaderAsync(stop);
            while (await rows.ReadAsync(stop))
                settings[rows.GetString(0)] = rows.GetString(1);
            return settings;
        }
        catch (PostgresException missing) when (
            missing.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName)
        {
            throw new RefusedException($"the database {connection.Database} is not prepared for backup", HowToPrepare);
        }
    }

    static async Task<(bool AllTables, IReadOnlyList<string> Fidelity)> FidelityAsync(
        NpgsqlConnection connection, string[] publications, CancellationToken stop)
    {
        var fidelity = new List<string>();
        var found = 0;
        var allTables = false;
        const string sql = """
            SELECT p.pubname::text, p.puballtables, p.pubinsert AND p.pubupdate AND p.pubdelete, p.pubtruncate, p.pubviaroot,
                (SELECT count(*) FROM pg_publication_rel r WHERE r.prpubid = p.oid AND to_jsonb(r) ->> 'prqual' IS NOT NULL),
                (SELECT count(*) FROM pg_publication_rel r WHERE r.prpubid = p.oid AND to_jsonb(r) ->> 'prattrs' IS NOT NULL),
                (SELECT count(*) FROM pg_event_trigger t WHERE t.evtenabled = 'A'
                    AND t.evtname IN ('crmbackup_ddl_end', 'crmbackup_sql_drop', 'crmbackup_rewrite'))
            FROM pg_publication p WHERE p.pubname = ANY ($1)
            """;
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = publications } } };
        await using var rows = await command.ExecuteReaderAsync(stop);
        while (await rows.ReadAsync(stop))
        {
            found++;
            var name = rows.GetString(0);
            allTables |= rows.GetBoolean(1);
            if (!rows.GetBoolean(2) && publications.Length == 1)
                fidelity.Add($"publication {name} does not publish every insert, update and delete");
            if (!rows.GetBoolean(3) && publications.Length == 1)
                fidelity.Add($"publication {name} does not publish truncate");
            if (rows.GetBoolean(4))
                fidelity.Add($"publication {name} publishes partitions under the name of their root");
            if (rows.GetInt64(5) > 0)
                fidelity.Add($"publication {name} filters rows of {rows.GetInt64(5)} tables");
            if (rows.GetInt64(6) > 0)
                fidelity.Add($"publication {name} leaves out columns of {rows.GetInt64(6)} tables");
            if (found == 1 && rows.GetInt64(7) < 3)
                fidelity.Add("not all event triggers are there and always enabled: schema changes are not captured exactly");
        }
        if (found < publications.Length)
            throw new RefusedException(
                $"publication {string.Join(", ", publications)} is missing in {connection.Database}", HowToPrepare);
        return (allTables, fidelity);
    }

    /// <summary>Rule 19: each of the CRM's commits would wait for our status replies.</summary>
    void RefuseToBeWaitedFor()
    {
        if (SynchronousStandbys.Match(SynchronousStandbyNames, SourceConnection.ApplicationName))
            throw new RefusedException(
                $"synchronous_standby_names = '{SynchronousStandbyNames}' would make every commit of the source wait for this backup",
                "Name the real standbys there, for example: ALTER SYSTEM SET synchronous_standby_names = 'standby1'; SELECT pg_reload_conf();");
    }
}
