CREATE OR REPLACE FUNCTION crmbackup.on_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
-- As on_ddl_end: temporary objects first, and the CRM's command succeeds whatever happens here.
DECLARE
  contents bytea[];
  content bytea;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d WHERE NOT d.is_temporary) THEN RETURN; END IF;
  BEGIN
    contents := crmbackup.drop_contents(TG_TAG);
  EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
    contents := crmbackup.failed_contents(TG_TAG, SQLERRM);
  END;
  FOREACH content IN ARRAY contents LOOP
    PERFORM pg_logical_emit_message(true, 'crmbackup', content);
  END LOOP;
END $$
