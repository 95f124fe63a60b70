CREATE OR REPLACE FUNCTION crmbackup.ddl_contents(tag text) RETURNS jsonb[]
LANGUAGE plpgsql /*canonical*/ SET lock_timeout = 1 AS $$
-- The messages of one DDL command: images of the protected tables that it may have changed, at most 100 in one.
DECLARE
  relations oid[];
  created oid[];
  objects jsonb;
  relation oid;
  contents jsonb[] := '{}';
  first int := 1;
BEGIN
  SELECT array_agg(DISTINCT t.relation) INTO relations
  FROM pg_event_trigger_ddl_commands() c CROSS JOIN LATERAL crmbackup.touched(c.classid, c.objid, c.command_tag) t
  WHERE c.schema_name IS DISTINCT FROM 'pg_temp' AND c.objid IS NOT NULL AND crmbackup.protects(t.relation);
  SELECT array_agg(DISTINCT c.objid) FILTER (WHERE c.classid = 'pg_class'::regclass
      AND c.command_tag IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'CREATE FOREIGN TABLE')),
    jsonb_agg(DISTINCT jsonb_build_object('command', c.command_tag, 'type', c.object_type, 'identity', c.object_identity))
    INTO created, objects
  FROM (SELECT * FROM pg_event_trigger_ddl_commands() LIMIT 1000) c WHERE c.schema_name IS DISTINCT FROM 'pg_temp';
  IF current_setting('crmbackup.unlisted', true) ~ '^[0-9,]+$' THEN
    relations := (SELECT array_agg(DISTINCT r) FROM unnest(relations || string_to_array(current_setting('crmbackup.unlisted'), ',')::oid[]) r
      WHERE crmbackup.protects(r));
    PERFORM set_config('crmbackup.unlisted', '', true);
  END IF;
  FOREACH relation IN ARRAY coalesce(relations, '{}') LOOP
    PERFORM crmbackup.give_identity(relation);
    PERFORM crmbackup.publish_changes(relation);
  END LOOP;
  LOOP
    contents := contents || jsonb_build_object(
      'is', 'ddl', 'command', tag, 'schemaChanged', true, 'dropped', '[]'::jsonb,
      'tables', (SELECT coalesce(jsonb_agg(crmbackup.table_image(r)), '[]') FROM unnest(relations[first:first + 99]) r),
      'created', (SELECT coalesce(jsonb_agg(r::bigint), '[]') FROM unnest(created) r WHERE r = ANY (relations[first:first + 99])),
      -- Only a command whose text is at hand, and speaks of neither, surely leaves every name as it is.
      'renames', NOT (current_query() ~* E'^\\s*alter\\s' AND current_query() !~* E'\\y(rename\\s+(?!(value|attribute|column|constraint)\\y)|schema\\y)'),
      'objects', CASE WHEN first = 1 THEN coalesce(objects, '[]') ELSE '[]' END);
    first := first + 100;
    EXIT WHEN first > coalesce(array_length(relations, 1), 0);
  END LOOP;
  RETURN contents;
END $$
