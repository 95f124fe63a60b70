CREATE OR REPLACE FUNCTION crmbackup.tell_changes(relation oid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = 1 AS $$
-- Capture's: for a table whose updates and deletes are not told yet. Says it in the stream when they are, with the table as it is then.
DECLARE
  seen text := pg_current_snapshot();
  image jsonb;
  definitions jsonb[];
  content bytea;
BEGIN
  BEGIN
    PERFORM crmbackup.give_identity(relation);
  EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
    RETURN false;
  END;
  IF NOT crmbackup.publish_changes(relation) THEN RETURN false; END IF;
  image := crmbackup.table_image(relation);
  BEGIN
    definitions := crmbackup.describe(seen, ARRAY['pg_class'::regclass::oid], ARRAY[relation], false, false);
    -- As in on_ddl_end.
    RAISE SQLSTATE 'CRMBK';
  EXCEPTION
    WHEN SQLSTATE 'CRMBK' THEN NULL;
    WHEN query_canceled OR assert_failure OR others THEN definitions := crmbackup.undescribed('TELL CHANGES', SQLERRM);
  END;
  FOREACH content IN ARRAY crmbackup.sealed('TELL CHANGES', ARRAY[jsonb_build_object(
    'is', 'ddl', 'command', 'TELL CHANGES', 'schemaChanged', true, 'dropped', '[]'::jsonb,
    'tables', CASE WHEN image IS NULL THEN '[]' ELSE jsonb_build_array(image) END)], definitions) LOOP
    PERFORM pg_logical_emit_message(true, 'crmbackup', content);
  END LOOP;
  RETURN true;
END $$
