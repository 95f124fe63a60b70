CREATE OR REPLACE FUNCTION crmbackup.tell_changes(relation oid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = 1 AS $$
-- Capture's: for a table whose updates and deletes are not told yet. Says it in the stream when they are.
BEGIN
  BEGIN
    PERFORM crmbackup.give_identity(relation);
  EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
    RETURN false;
  END;
  IF NOT crmbackup.publish_changes(relation) THEN RETURN false; END IF;
  PERFORM pg_logical_emit_message(true, 'crmbackup', crmbackup.seal(jsonb_build_object(
    'is', 'ddl', 'command', 'TELL CHANGES', 'schemaChanged', true, 'dropped', '[]'::jsonb,
    'tables', (SELECT coalesce(jsonb_agg(image), '[]') FROM crmbackup.table_image(relation) image WHERE image IS NOT NULL))::text));
  RETURN true;
END $$
