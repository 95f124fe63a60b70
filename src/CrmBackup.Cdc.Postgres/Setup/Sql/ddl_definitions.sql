CREATE OR REPLACE FUNCTION crmbackup.ddl_definitions(tag text, seen text) RETURNS jsonb[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
-- The definitions of what a command made or changed. Its caller rolls it back: reading a view's definition locks the tables in it.
DECLARE
  classes oid[];
  objects oid[];
  whole text[];
  -- What our own transaction wrote, or another one that was committed just now: told once too often does no harm.
  newest int := age(pg_snapshot_xmin(pg_current_snapshot())::xid);
  definitions jsonb[];
BEGIN
  SELECT array_agg(c.classid), array_agg(c.objid) INTO classes, objects
  FROM pg_event_trigger_ddl_commands() c
  WHERE c.schema_name IS DISTINCT FROM 'pg_temp' AND c.objid IS NOT NULL AND c.classid <> 'pg_largeobject'::regclass
    AND (c.classid = 'pg_extension'::regclass OR NOT c.in_extension);
  IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c WHERE c.command_tag IN ('GRANT', 'REVOKE') AND NOT c.in_extension) THEN
    -- The command does not say on what: the rows that it wrote do.
    SELECT classes || array_agg(class), objects || array_agg(object) INTO classes, objects FROM (
      SELECT 'pg_class'::regclass AS class, oid AS object FROM pg_class WHERE age(xmin) BETWEEN -1000000 AND newest
      UNION SELECT 'pg_class'::regclass, attrelid FROM pg_attribute WHERE attacl IS NOT NULL AND age(xmin) BETWEEN -1000000 AND newest
      UNION SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE age(xmin) BETWEEN -1000000 AND newest
      UNION SELECT 'pg_namespace'::regclass, oid FROM pg_namespace WHERE age(xmin) BETWEEN -1000000 AND newest
      UNION SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typacl IS NOT NULL AND age(xmin) BETWEEN -1000000 AND newest
      UNION SELECT 'pg_language'::regclass, oid FROM pg_language WHERE age(xmin) BETWEEN -1000000 AND newest
      UNION SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server WHERE age(xmin) BETWEEN -1000000 AND newest
      UNION SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper WHERE age(xmin) BETWEEN -1000000 AND newest) written;
  ELSIF tag = 'ALTER TABLE' AND EXISTS (SELECT FROM unnest(objects) o JOIN pg_class c ON c.oid = o WHERE c.relkind = 'p') THEN
    -- A partition that was detached is not named either.
    SELECT classes || array_agg('pg_class'::regclass::oid), objects || array_agg(oid) INTO classes, objects
    FROM pg_class WHERE relkind IN ('r', 'p', 'f') AND NOT relispartition AND age(xmin) BETWEEN -1000000 AND newest;
  ELSIF tag = 'ALTER SCHEMA' THEN
    SELECT classes || array_agg(d.classid), objects || array_agg(d.objid) INTO classes, objects
    FROM unnest(objects) o JOIN pg_depend d ON d.refclassid = 'pg_namespace'::regclass AND d.refobjid = o AND d.deptype = 'n';
  END IF;
  definitions := crmbackup.describe(seen, classes, objects, tag LIKE 'ALTER %' OR tag = 'CREATE INDEX', tag LIKE 'ALTER %');
  IF tag IN ('ALTER DEFAULT PRIVILEGES', 'ALTER SCHEMA') THEN
    definitions[1] := definitions[1] || jsonb_build_object('whole', jsonb_build_array('pg_default_acl'::regclass::oid::bigint),
      'units', (definitions[1] -> 'units') || crmbackup.define_default_acls());
  ELSIF tag = 'ALTER EXTENSION' THEN
    definitions[1] := definitions[1] || '{"undescribed": "an extension was altered"}';
  END IF;
  RETURN definitions;
END $$
