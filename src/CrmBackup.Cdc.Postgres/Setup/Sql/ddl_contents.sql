CREATE OR REPLACE FUNCTION crmbackup.ddl_contents(tag text) RETURNS bytea[]
LANGUAGE plpgsql /*canonical*/ SET lock_timeout = 1 AS $$
-- The messages of one DDL command, sealed: images of the protected tables that it may have changed, at most 100 in one.
DECLARE
  relations oid[];
  created oid[];
  retyped oid[];
  objects jsonb;
  relation oid;
  contents bytea[] := '{}';
  first int := 1;
BEGIN
  SELECT array_agg(DISTINCT t.relation), array_agg(DISTINCT t.relation) FILTER (WHERE t.by_type)
    INTO relations, retyped
  FROM pg_event_trigger_ddl_commands() c CROSS JOIN LATERAL crmbackup.touched(c.classid, c.objid, c.command_tag) t
  WHERE c.schema_name IS DISTINCT FROM 'pg_temp' AND c.objid IS NOT NULL AND crmbackup.protects(t.relation);
  SELECT array_agg(DISTINCT c.objid) FILTER (WHERE c.classid = 'pg_class'::regclass
      AND c.command_tag IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE FOREIGN TABLE')),
    jsonb_agg(DISTINCT jsonb_build_object('command', c.command_tag, 'type', c.object_type, 'identity', c.object_identity))
    INTO created, objects
  FROM (SELECT * FROM pg_event_trigger_ddl_commands() LIMIT 1000) c WHERE c.schema_name IS DISTINCT FROM 'pg_temp';
  FOREACH relation IN ARRAY coalesce(relations, '{}') LOOP
    PERFORM crmbackup.give_identity(relation);
  END LOOP;
  -- A statement that does nothing but add a label, rename or move the type itself leaves the text of values alone.
  IF current_query() ~* E'^\\s*alter\\s+type\\s+[^;]+\\s(add\\s+value|owner\\s+to|rename\\s+to|set\\s+schema)\\s[^;]*;?\\s*$'
     OR tag = 'ALTER DOMAIN' THEN
    retyped := NULL;
  END IF;
  LOOP
    contents := contents || crmbackup.seal((jsonb_build_object(
      'is', 'ddl', 'command', tag, 'schemaChanged', true, 'dropped', '[]'::jsonb,
      'tables', (SELECT coalesce(jsonb_agg(crmbackup.table_image(r)), '[]') FROM unnest(relations[first:first + 99]) r),
      'created', (SELECT coalesce(jsonb_agg(r::bigint), '[]') FROM unnest(created) r WHERE r = ANY (relations[first:first + 99])),
      'retyped', (SELECT coalesce(jsonb_agg(r::bigint), '[]') FROM unnest(retyped) r WHERE r = ANY (relations[first:first + 99])),
      'objects', CASE WHEN first = 1 THEN coalesce(objects, '[]') ELSE '[]' END))::text);
    first := first + 100;
    EXIT WHEN first > coalesce(array_length(relations, 1), 0);
  END LOOP;
  RETURN contents;
END $$
