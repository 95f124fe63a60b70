namespace CrmBackup.Cdc.Postgres;

public static partial class FactsReader
{
    // Sizes of tables that someone holds ACCESS EXCLUSIVE come from the last VACUUM: pg_relation_size would wait.
    const string TablesSql = """
        WITH held AS MATERIALIZED (
            SELECT relation FROM pg_locks
            WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        ), watched AS MATERIALIZED (
            SELECT greatest(extract(epoch FROM now() - coalesce(stats_reset, pg_postmaster_start_time())) / 3600, 0.01) AS hours
            FROM pg_stat_database WHERE datname = current_database()
        )
        SELECT c.oid, n.nspname::text, c.relname::text, c.relkind, c.relpersistence, c.relreplident,
            (SELECT x.relname::text FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
             WHERE i.indrelid = c.oid AND i.indisreplident LIMIT 1),
            c.relreplident = 'f' OR key.has,
            CASE WHEN c.relreplident = 'f' OR key.has THEN NULL ELSE (
                SELECT x.relname::text FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                WHERE i.indrelid = c.oid AND i.indisvalid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL
                  AND i.indexprs IS NULL AND NOT EXISTS (
                    SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
                    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                    WHERE k.place <= i.indnkeyatts AND (NOT a.attnotnull OR a.attgenerated <> ''))
                ORDER BY i.indnkeyatts, x.oid LIMIT 1) END,
            EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attgenerated <> ''),
            CASE WHEN c.relkind = 'p' THEN 0
                 WHEN c.oid IN (SELECT relation FROM held) THEN greatest(c.relpages, 0)::bigint * current_setting('block_size')::bigint
                 ELSE coalesce(pg_relation_size(c.oid), 0) END,
            CASE WHEN c.reltoastrelid = 0 THEN 0
                 WHEN c.oid IN (SELECT relation FROM held) THEN
                    (SELECT greatest(t.relpages, 0)::bigint * current_setting('block_size')::bigint FROM pg_class t WHERE t.oid = c.reltoastrelid)
                 ELSE coalesce(pg_relation_size(c.reltoastrelid), 0) END,
            CASE WHEN c.relreplident = 'f' OR key.has THEN 0 ELSE coalesce((
                SELECT sum(s.avg_width)::bigint FROM pg_stats s
                WHERE s.schemaname = n.nspname AND s.tablename = c.relname AND NOT s.inherited), 0) END,
            ((pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid)) / (SELECT hours FROM watched))::float8,
            coalesce((SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition), 0::oid),
            c.relrowsecurity AND row_security_active(c.oid),
            has_table_privilege(c.oid, 'SELECT'),
            EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'crmbackup_changes' AND t.tgenabled = 'A')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL (SELECT EXISTS (
            SELECT FROM pg_index i
            WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND (i.indisvalid OR c.relkind = 'p')
              AND ((c.relreplident = 'd' AND i.indisprimary) OR (c.relreplident = 'i' AND i.indisreplident))
              -- The stream does not carry generated columns: a key that has one names no row.
              AND NOT EXISTS (
                SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
                WHERE k.place <= i.indnkeyatts AND a.attgenerated <> '')) AS has) key
        WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.oid >= 16384
          AND n.nspname NOT IN ('crmbackup', 'pg_catalog', 'information_schema', 'pg_toast')
        ORDER BY n.nspname, c.relname
        """;

    const string OthersSql = """
        WITH found AS (
            SELECT CASE WHEN c.relkind = 'f' THEN 'foreign tables' WHEN c.relkind = 'm' THEN 'materialized views'
                        ELSE 'unlogged tables' END AS kind,
                   n.nspname || '.' || c.relname AS name
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE (c.relkind IN ('f', 'm') OR (c.relkind = 'r' AND c.relpersistence = 'u')) AND c.oid >= 16384
              AND n.nspname <> 'crmbackup'
            UNION ALL SELECT 'large objects', oid::text FROM pg_largeobject_metadata
            UNION ALL SELECT 'generated columns', n.nspname || '.' || c.relname || '.' || a.attname
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE a.attgenerated <> '' AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
            UNION ALL SELECT 'sequences', n.nspname || '.' || c.relname
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'S' AND c.relpersistence <> 't'
            UNION ALL SELECT 'reg* columns', n.nspname || '.' || c.relname || '.' || a.attname
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE a.atttypid IN ('regclass'::regtype, 'regproc'::regtype, 'regprocedure'::regtype, 'regtype'::regtype,
                    'regrole'::regtype, 'regnamespace'::regtype, 'regoper'::regtype, 'regoperator'::regtype,
                    'regconfig'::regtype, 'regdictionary'::regtype, 'regcollation'::regtype)
              AND c.relkind = 'r' AND c.oid >= 16384 AND NOT a.attisdropped AND c.relpersistence <> 't'
        )
        SELECT kind, count(*), (array_agg(name ORDER BY name))[1:10] FROM found GROUP BY kind ORDER BY kind
        """;
}
