using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

public static partial class FactsReader
{
    static async Task<SetupFacts> ReadSetupAsync(
        NpgsqlConnection connection, ServerFacts server, string? slot, string? publication, string? role, CancellationToken stop)
    {
        bool schema = false, accessible = true, settingsExist = false, secret = false;
        // By oid: a look-up by name fails without USAGE on the schema.
        const string existsSql = """
            SELECT n.oid IS NOT NULL, n.oid IS NULL OR (has_schema_privilege(n.oid, 'USAGE')
                    AND coalesce(has_table_privilege(settings.oid, 'SELECT'), true) AND coalesce(has_table_privilege(secret.oid, 'SELECT'), true)),
                settings.oid IS NOT NULL, secret.oid IS NOT NULL
            FROM (VALUES (1)) one LEFT JOIN pg_namespace n ON n.nspname = 'crmbackup'
            LEFT JOIN pg_class settings ON settings.relnamespace = n.oid AND settings.relname = 'settings'
            LEFT JOIN pg_class secret ON secret.relnamespace = n.oid AND secret.relname = 'secret'
            """;
        await foreach (var row in RowsAsync(connection, existsSql, stop))
            (schema, accessible, settingsExist, secret) = (row.GetBoolean(0), row.GetBoolean(1), row.GetBoolean(2), row.GetBoolean(3));
        Dictionary<string, string>? settings = null;
        if (settingsExist && accessible)
        {
            settings = [];
            await foreach (var row in RowsAsync(connection, "SELECT key, value FROM crmbackup.settings", stop))
                settings[row.GetString(0)] = row.GetString(1);
        }
        slot ??= settings?.GetValueOrDefault("slot") ?? SetupOptions.DefaultSlot(server.DatabaseOid);
        publication ??= settings?.GetValueOrDefault("publication") ?? SetupOptions.DefaultPublication;
        role ??= settings?.GetValueOrDefault("role");
        var functions = await ReadFunctionsAsync(connection, stop);
        string? state = null;
        if (settings is not null && functions.ContainsKey("publication_state"))
            await foreach (var row in RowsAsync(connection, "SELECT crmbackup.publication_state()", stop))
                state = Text(row, 0);
        return new SetupFacts(
            schema, accessible, settings, secret, functions,
            await ReadEventTriggersAsync(connection, stop),
            await ReadPublicationAsync(connection, publication, server.Major, stop),
            settings?.GetValueOrDefault("changesPublication") is { } changes ? await ReadPublicationAsync(connection, changes, server.Major, stop) : null,
            state,
            await ReadSlotAsync(connection, slot, server, stop),
            role is null ? null : await ReadRoleAsync(connection, role, schema, stop));
    }

    static async Task<IReadOnlyDictionary<string, FunctionFacts>> ReadFunctionsAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var functions = new Dictionary<string, FunctionFacts>();
        const string sql = """
            SELECT p.proname::text, p.prosrc, p.prosecdef, coalesce(p.proconfig, '{}'), r.rolsuper
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_roles r ON r.oid = p.proowner
            WHERE n.nspname = 'crmbackup'
            """;
        await foreach (var row in RowsAsync(connection, sql, stop))
            functions[row.GetString(0)] = new FunctionFacts(
                row.GetString(1), row.GetBoolean(2), row.GetFieldValue<string[]>(3), row.GetBoolean(4));
        return functions;
    }

    static async Task<IReadOnlyDictionary<string, EventTriggerFacts>> ReadEventTriggersAsync(
        NpgsqlConnection connection, CancellationToken stop)
    {
        var triggers = new Dictionary<string, EventTriggerFacts>();
        const string sql = """
            SELECT t.evtname::text, t.evtevent::text, t.evtenabled, n.nspname || '.' || p.proname
            FROM pg_event_trigger t JOIN pg_proc p ON p.oid = t.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE t.evtname LIKE 'crmbackup%'
            """;
        await foreach (var row in RowsAsync(connection, sql, stop))
            triggers[row.GetString(0)] = new EventTriggerFacts(row.GetString(1), row.GetChar(2), row.GetString(3));
        return triggers;
    }

    static async Task<PublicationFacts?> ReadPublicationAsync(
        NpgsqlConnection connection, string name, int major, CancellationToken stop)
    {
        var tables = new List<PublishedTable>();
        var schemas = new List<string>();
        // Row filters, column lists and FOR TABLES IN SCHEMA came with 15.
        var tablesSql = $"""
            SELECT r.prrelid, {(major >= 15 ? "pg_get_expr(r.prqual, r.prrelid), r.prattrs IS NOT NULL" : "NULL::text, false")}
            FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1 ORDER BY 1
            """;
        await foreach (var row in RowsAsync(connection, tablesSql, stop, name))
            tables.Add(new PublishedTable(row.GetFieldValue<uint>(0), Text(row, 1), row.GetBoolean(2)));
        const string schemasSql = """
            SELECT n.nspname::text FROM pg_publication_namespace r JOIN pg_publication p ON p.oid = r.pnpubid
            JOIN pg_namespace n ON n.oid = r.pnnspid WHERE p.pubname = $1 ORDER BY 1
            """;
        if (major >= 15)
            await foreach (var row in RowsAsync(connection, schemasSql, stop, name))
                schemas.Add(row.GetString(0));
        const string sql = """
            SELECT oid, puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot,
                coalesce(to_jsonb(p) ->> 'pubgencols', 'n') <> 'n'
            FROM pg_publication p WHERE pubname = $1
            """;
        await foreach (var row in RowsAsync(connection, sql, stop, name))
            return new PublicationFacts(
                row.GetFieldValue<uint>(0), row.GetBoolean(1), row.GetBoolean(2), row.GetBoolean(3), row.GetBoolean(4),
                row.GetBoolean(5), row.GetBoolean(6), row.GetBoolean(7), tables, schemas);
        return null;
    }

    static async Task<SlotFacts?> ReadSlotAsync(NpgsqlConnection connection, string name, ServerFacts server, CancellationToken stop)
    {
        // 16 added "conflicting", 17 "invalidation_reason": read by name from the row's JSON, absent on older servers.
        const string sql = """
            SELECT s.plugin::text, s.database::text, s.active, s.two_phase, s.wal_status,
                coalesce(to_jsonb(s) ->> 'invalidation_reason',
                    CASE WHEN s.wal_status = 'lost' THEN 'wal_removed' WHEN to_jsonb(s) ->> 'conflicting' = 'true' THEN 'conflicting' END),
                s.confirmed_flush_lsn::text,
                CASE WHEN $2 OR s.restart_lsn IS NULL THEN 0 ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)::bigint END
            FROM pg_replication_slots s WHERE s.slot_name = $1
            """;
        await foreach (var row in RowsAsync(connection, sql, stop, name, server.InRecovery))
            return new SlotFacts(
                name, Text(row, 0), Text(row, 1), row.GetBoolean(2), row.GetBoolean(3), Text(row, 4), Text(row, 5),
                Text(row, 6) is { } lsn ? Lsn.Parse(lsn) : null, row.GetInt64(7));
        return null;
    }

    static async Task<RoleFacts> ReadRoleAsync(NpgsqlConnection connection, string name, bool schema, CancellationToken stop)
    {
        const string sql = """
            SELECT rolsuper, rolcanlogin, rolreplication, rolbypassrls, pg_has_role(oid, 'pg_read_all_data', 'USAGE'),
                pg_has_role(oid, 'pg_monitor', 'USAGE'), coalesce($2 AND has_schema_privilege(oid, to_regnamespace('crmbackup')::oid, 'USAGE'), false)
            FROM pg_roles WHERE rolname = $1
            """;
        await foreach (var row in RowsAsync(connection, sql, stop, name, schema))
            return new RoleFacts(
                name, Exists: true, row.GetBoolean(0), row.GetBoolean(1), row.GetBoolean(2), row.GetBoolean(3), row.GetBoolean(4),
                row.GetBoolean(5), row.GetBoolean(6));
        return new RoleFacts(name, Exists: false, false, false, false, false, false, false, false);
    }
}
