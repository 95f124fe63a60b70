CREATE OR REPLACE FUNCTION crmbackup.table_image(relation oid) RETURNS jsonb
LANGUAGE sql STABLE /*canonical*/ AS $$
-- A table as the catalog describes it now; null when there is none. The same text in DDL messages, inventories and chunks.
SELECT jsonb_build_object(
  'oid', c.oid::bigint,
  'schema', n.nspname,
  'name', c.relname,
  'kind', c.relkind::text,
  'persistence', c.relpersistence::text,
  'identity', CASE c.relreplident WHEN 'd' THEN 'Default' WHEN 'i' THEN 'Index' WHEN 'f' THEN 'Full' ELSE 'Nothing' END,
  'keyColumns', (
    SELECT coalesce(jsonb_agg(k.attnum ORDER BY k.attnum), '[]')
    FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
    WHERE i.indrelid = c.oid AND k.place <= i.indnkeyatts
      AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND (i.indisvalid OR c.relkind = 'p')
      AND ((c.relreplident = 'd' AND i.indisprimary) OR (c.relreplident = 'i' AND i.indisreplident))),
  'fileNode', coalesce(pg_relation_filenode(c.oid), 0)::bigint,
  'pages', CASE WHEN c.relkind = 'r' THEN
    coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::bigint ELSE 0 END,
  'updates', EXISTS (
      SELECT FROM crmbackup.settings s JOIN pg_publication p ON p.pubname = s.value
      WHERE s.key IN ('publication', 'changesPublication') AND p.pubupdate AND p.pubdelete
        AND (p.puballtables OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid
          AND (r.prrelid = c.oid OR r.prrelid IN (SELECT relid FROM pg_partition_ancestors(c.oid))))))
    OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'crmbackup_changes' AND t.tgenabled = 'A'),
  'columns', (
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'attNum', a.attnum,
        'name', a.attname,
        'typeOid', a.atttypid::bigint,
        'typeMod', a.atttypmod,
        'typeName', format_type(a.atttypid, a.atttypmod),
        'notNull', a.attnotnull,
        'generated', CASE a.attgenerated WHEN '' THEN 'n' ELSE a.attgenerated::text END,
        'missingValue', CASE WHEN a.atthasmissing THEN crmbackup.missing_value(a.attmissingval::text) END,
        'rule', CASE WHEN a.atttypid >= 16384 THEN crmbackup.value_rule(a.atttypid) END))
      ORDER BY a.attnum), '[]')
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = relation AND c.relkind IN ('r', 'p')
$$
