CREATE OR REPLACE FUNCTION crmbackup.drop_definitions(tag text, images jsonb, seen text) RETURNS jsonb[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
-- What is no more, and the definitions of what stays with less. As ddl_definitions, it is rolled back.
DECLARE
  definitions jsonb[];
BEGIN
  SELECT crmbackup.describe(seen, array_agg(class), array_agg(object), true, false) INTO definitions
  FROM (SELECT class, object FROM crmbackup.lost()
        -- One that lost its identity's index was given another identity.
        UNION SELECT 'pg_class'::regclass, (i ->> 'oid')::oid FROM jsonb_array_elements(images) i) stays;
  SELECT ARRAY[definitions[1] || jsonb_strip_nulls(jsonb_build_object(
      'gone', jsonb_agg(DISTINCT d.classid || ':' || d.objid) FILTER (WHERE d.objsubid = 0),
      'goneIndexes', jsonb_agg(jsonb_build_array(d.schema_name, d.object_name)) FILTER (WHERE d.object_type = 'index'),
      'undescribed', coalesce(definitions[1] -> 'undescribed', CASE tag WHEN 'DROP OWNED' THEN '"privileges were taken away"'::jsonb END)))] || definitions[2:]
    INTO definitions
  FROM pg_event_trigger_dropped_objects() d WHERE NOT (d.is_temporary OR d.address_names[1] = 'pg_temp');
  RETURN definitions;
END $$
