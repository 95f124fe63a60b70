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
    /// <summary>Why the slot was made anew, when capture did it; null when <c>init</c> made it.</summary>
    public string? Renewed { get; init; }

    /// <summary>It was made anew because the source was set back.</summary>
    public bool OtherHistory { get; init; }

    /// <summary>When the server process was started, in its own words: another time is another run of it.</summary>
    public string? ServerRun { get; init; }

    /// <exception cref="RefusedException">The source was not prepared, or would wait for us as for a standby.</exception>
    public static async Task<StreamFacts> ReadAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var settings = await SettingsAsync(connection, stop);
        string Setting(string name) => settings.GetValueOrDefault(name)
            ?? throw new SetupDamagedException($"crmbackup.settings in {connection.Database} has no '{name}'");
        string[] publications = settings.TryGetValue("changesPublication", out var changes) ? [Setting("publication"), changes] : [Setting("publication")];
        var (allTables, fidelity) = await FidelityAsync(connection, publications, stop);
        const string sql = """
            SELECT current_setting('server_version_num')::int, current_database()::text,
                (SELECT oid FROM pg_database WHERE datname = current_database()),
                (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_sender_timeout'),
                current_setting('synchronous_standby_names'), inner_pad, outer_pad, pg_postmaster_start_time()::text
            FROM crmbackup.secret
            """;
        await using var command = new NpgsqlCommand(sql, connection);
        await using var row = await command.ExecuteReaderAsync(stop);
        if (!await row.ReadAsync(stop))
            throw new SetupDamagedException($"crmbackup.secret in {connection.Database} is empty");
        var facts = new StreamFacts(
            row.GetInt32(0), row.GetString(1), row.GetFieldValue<uint>(2), Setting("slot"), publications,
            settings.TryGetValue("incarnation", out var incarnation) ? Guid.Parse(incarnation)
                // Whoever was making it anew was cut off between the statements.
                : throw new SlotLostException(Setting("slot"), "was made, but not recorded"),
            Xids(settings.GetValueOrDefault("waitFor", "")),
            new MessageKey(row.GetFieldValue<byte[]>(5), row.GetFieldValue<byte[]>(6)),
            TimeSpan.FromMilliseconds(row.GetInt64(3)), row.GetString(4), allTables, fidelity)
        {
            Renewed = settings.GetValueOrDefault(SlotPlan.RenewedSetting),
            OtherHistory = settings.GetValueOrDefault(SlotPlan.OtherHistorySetting) == incarnation,
            ServerRun = row.GetString(7),
        };
        facts.RefuseToBeWaitedFor();
        return facts;
    }

    /// <summary>From here on bases wait for what runs now.</summary>
    public static async Task<IReadOnlyList<ulong>> WaitAnewAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(SlotPlan.WaitStatement, connection);
        return Xids((string)(await command.ExecuteScalarAsync(stop))!);
    }

    static List<ulong> Xids(string list) => [.. list.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(ulong.Parse)];

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
            throw new SetupDamagedException($"the database {connection.Database} is not prepared for backup");
        }
        catch (PostgresException refused) when (refused.SqlState == PostgresErrorCodes.InsufficientPrivilege)
        {
            throw new RefusedException(
                $"the role {connection.UserName} may not read schema crmbackup in {connection.Database}: {refused.MessageText}",
                "'crmbackup check' prints the grants that are missing.");
        }
    }

    static async Task<(bool AllTables, IReadOnlyList<string> Fidelity)> FidelityAsync(
        NpgsqlConnection connection, string[] publications, CancellationToken stop)
    {
        var fidelity = new List<string>();
        var found = 0;
        var allTables = false;
        bool inserts = false, updates = false, truncates = false;
        // Row filters came with 15.
        var filters = connection.PostgreSqlVersion.Major < 15 ? "'{}'::text[]" : """
            array(SELECT format('of %s only rows with %s are published', r.prrelid::regclass, pg_get_expr(r.prqual, r.prrelid))
                FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prqual IS NOT NULL ORDER BY 1)
            """;
        var sql = $"""
            SELECT p.pubname::text, p.puballtables, p.pubinsert, p.pubupdate AND p.pubdelete, p.pubtruncate, p.pubviaroot,
                {filters},
                (SELECT count(*) FROM pg_publication_rel r WHERE r.prpubid = p.oid AND to_jsonb(r) ->> 'prattrs' IS NOT NULL),
                (SELECT count(*) FROM pg_event_trigger t WHERE t.evtenabled = 'A' AND current_setting('event_triggers', true) IS DISTINCT FROM 'off'
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
            inserts |= rows.GetBoolean(2);
            updates |= rows.GetBoolean(3);
            truncates |= rows.GetBoolean(4);
            if (rows.GetBoolean(5))
                fidelity.Add($"publication {name} publishes partitions under the name of their root");
            fidelity.AddRange(rows.GetFieldValue<string[]>(6).Except(fidelity).ToList());
            if (rows.GetInt64(7) > 0)
                fidelity.Add($"publication {name} leaves out columns of {rows.GetInt64(7)} tables");
            if (found == 1 && rows.GetInt64(8) < 3)
                fidelity.Add("not all event triggers are there and always enabled: schema changes are not captured exactly");
        }
        if (found < publications.Length)
            throw new SetupDamagedException($"publication {string.Join(", ", publications)} is missing in {connection.Database}");
        if (!inserts || !updates)
            fidelity.Add($"publication {publications[0]} does not publish every insert, update and delete");
        if (!truncates)
            fidelity.Add($"publication {publications[0]} does not publish truncate");
        await rows.DisposeAsync();
        if (!allTables && await UnprotectedAsync(connection, stop) is { } left)
            fidelity.Add(left);
        if (await LargeObjectsAsync(connection, stop) is > 0 and var objects)
            fidelity.Add($"{objects} large objects are not in the backup");
        return (allTables, fidelity);
    }

    static async Task<long> LargeObjectsAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("SELECT count(*) FROM pg_largeobject_metadata", connection);
        return await command.ExecuteScalarAsync(stop) is long count ? count : 0;
    }

    /// <returns>Null when every logged table is protected.</returns>
    static async Task<string?> UnprotectedAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        const string sql = """
            SELECT CASE WHEN count(*) > 0 THEN 'not protected: ' || string_agg(name, ', ' ORDER BY place) FILTER (WHERE place <= 10)
                || CASE WHEN count(*) > 10 THEN format(' and %s more', count(*) - 10) ELSE '' END END
            FROM (
              SELECT format('%I.%I', n.nspname, c.relname) AS name, row_number() OVER (ORDER BY n.nspname, c.relname) AS place
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384 AND n.nspname <> 'crmbackup' AND NOT crmbackup.protects(c.oid)) left_out
            """;
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(stop) as string;
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
