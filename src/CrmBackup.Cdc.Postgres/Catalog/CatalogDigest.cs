namespace CrmBackup.Cdc.Postgres;

/// <summary>The catalog as two numbers under one snapshot: the schema, and the columns with who last wrote them. Temporary objects, ours,
/// and what changes without any DDL (statistics, file nodes, an index built anew) are left out.</summary>
static class CatalogDigest
{
    /// <returns>Snapshot, schema, columns.</returns>
    public const string Sql = """
        WITH spaces AS MATERIALIZED (
            SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
            WHERE nspname !~ '^pg_(toast|temp)' AND nspname NOT IN ('pg_catalog', 'information_schema', 'crmbackup')
        ), relations AS MATERIALIZED (
            SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM spaces) AND relpersistence <> 't'
        ), tables AS MATERIALIZED (
            SELECT oid FROM relations WHERE relkind NOT IN ('i', 'I')
        ), parts (hash) AS (
            SELECT hash_record_extended(ROW(oid, relname, relnamespace, relkind, relpersistence, relreplident, relowner, relacl::text,
                reloptions::text, relrowsecurity, relforcerowsecurity, relpartbound::text, reloftype, relam, reltablespace), 0)
            FROM relations WHERE relkind NOT IN ('i', 'I')
            UNION ALL
            SELECT hash_record_extended(ROW(i.indrelid, r.relname, i.indkey::text, i.indisunique, i.indisprimary, i.indisreplident, i.indimmediate,
                i.indpred::text, i.indexprs::text, i.indclass::text, i.indoption::text, i.indcollation::text, r.reloptions::text, r.relam), 1)
            FROM relations r JOIN pg_index i ON i.indexrelid = r.oid WHERE i.indisvalid
            UNION ALL
            SELECT hash_record_extended(ROW(oid, conname, contype, conrelid, convalidated, condeferrable, condeferred, conkey::text, confrelid,
                confkey::text, conbin::text), 2)
            FROM pg_constraint WHERE connamespace IN (SELECT oid FROM spaces) AND (conrelid = 0 OR conrelid IN (SELECT oid FROM tables))
            UNION ALL
            SELECT hash_record_extended(ROW(adrelid, adnum, adbin::text), 3) FROM pg_attrdef WHERE adrelid IN (SELECT oid FROM tables)
            UNION ALL
            SELECT hash_record_extended(ROW(oid, xmin), 4) FROM pg_trigger WHERE NOT tgisinternal AND tgname NOT LIKE 'crmbackup%' AND tgrelid IN (SELECT oid FROM tables)
            UNION ALL
            SELECT hash_record_extended(ROW(oid, xmin), 5) FROM pg_rewrite WHERE ev_class IN (SELECT oid FROM tables)
            UNION ALL
            SELECT hash_record_extended(ROW(oid, xmin), 6) FROM pg_policy WHERE polrelid IN (SELECT oid FROM tables)
            UNION ALL
            SELECT hash_record_extended(ROW(inhrelid, inhparent), 7) FROM pg_inherits WHERE inhrelid IN (SELECT oid FROM tables)
            UNION ALL
            SELECT hash_record_extended(ROW(seqrelid, xmin), 8) FROM pg_sequence WHERE seqrelid IN (SELECT oid FROM tables)
            UNION ALL
            SELECT hash_record_extended(ROW(oid, xmin), 9) FROM pg_proc WHERE pronamespace IN (SELECT oid FROM spaces)
            UNION ALL
            SELECT hash_record_extended(ROW(oid, xmin), 10) FROM pg_type WHERE typnamespace IN (SELECT oid FROM spaces)
            UNION ALL
            SELECT hash_record_extended(ROW(oid, xmin), 11) FROM pg_enum
            UNION ALL
            SELECT hash_record_extended(ROW(oid, nspname, nspowner, nspacl::text), 12) FROM spaces
            UNION ALL
            SELECT hash_record_extended(ROW(classoid, objsubid, description), 13) FROM pg_description WHERE objoid >= 16384
            UNION ALL
            SELECT hash_record_extended(ROW(oid, evtname, evtevent, evtenabled, evtfoid), 14) FROM pg_event_trigger WHERE evtname NOT LIKE 'crmbackup%'
            UNION ALL
            SELECT hash_record_extended(ROW(oid, xmin), 15) FROM pg_extension
        )
        SELECT pg_current_snapshot()::text,
            (SELECT concat_ws(' ', count(*), coalesce(sum(hash), 0)) FROM parts),
            (SELECT concat_ws(' ', count(*), coalesce(sum(hash_record_extended(ROW(attrelid, attnum, xmin), 0)), 0)) FROM pg_attribute
                WHERE attrelid IN (SELECT oid FROM tables))
        """;
}
