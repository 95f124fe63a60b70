CREATE OR REPLACE FUNCTION crmbackup.drop_contents(tag text) RETURNS jsonb[]
LANGUAGE plpgsql /*canonical*/ SET lock_timeout = 1 AS $$
-- What one command dropped: tables by OID; of tables that stay but lost a column, a constraint or their identity's index, the image.
DECLARE
  relations oid[];
  relation oid;
  contents jsonb[] := '{}';
BEGIN
  SELECT array_agg(DISTINCT c.oid) INTO relations
  FROM (
    SELECT object AS oid FROM crmbackup.lost() WHERE class = 'pg_class'::regclass
    UNION
    SELECT c.oid FROM pg_event_trigger_dropped_objects() d
      JOIN pg_class c ON c.relreplident = 'i'
      WHERE d.object_type = 'index' AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident)
  ) lost JOIN pg_class c ON c.oid = lost.oid
  WHERE crmbackup.protects(c.oid);
  FOREACH relation IN ARRAY coalesce(relations, '{}') LOOP
    PERFORM crmbackup.give_identity(relation);
    PERFORM crmbackup.publish_changes(relation);
  END LOOP;
  SELECT contents || jsonb_build_object(
      'is', 'ddl', 'command', tag, 'schemaChanged', true,
      'dropped', coalesce(jsonb_agg(DISTINCT d.objid::bigint)
        FILTER (WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0 AND d.object_type = 'table'), '[]'),
      'tables', (SELECT coalesce(jsonb_agg(crmbackup.table_image(r)), '[]') FROM unnest(relations) r),
      'objects', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('command', tag, 'type', o.object_type, 'identity', o.object_identity)), '[]')
        FROM (SELECT * FROM pg_event_trigger_dropped_objects() WHERE original AND NOT (is_temporary OR address_names[1] = 'pg_temp') LIMIT 1000) o))
    INTO contents
  FROM pg_event_trigger_dropped_objects() d WHERE NOT (d.is_temporary OR d.address_names[1] = 'pg_temp');
  RETURN contents;
END $$
