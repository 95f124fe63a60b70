CREATE OR REPLACE FUNCTION crmbackup.on_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
-- As on_ddl_end: temporary objects first, and the CRM's command succeeds whatever happens here.
DECLARE
  seen text := pg_current_snapshot();
  contents jsonb[];
  definitions jsonb[];
  messages bytea[];
  content bytea;
  stack text;
BEGIN
  GET DIAGNOSTICS stack = PG_CONTEXT;
  IF stack ~ 'function crmbackup\.(give_identity|publish_changes)\(oid\)|function crmbackup\.on_ddl_start\(\)' THEN RETURN; END IF;
  -- PostgreSQL 14 does not call a temporary table's defaults temporary; their address does.
  IF NOT EXISTS (
    SELECT FROM pg_event_trigger_dropped_objects() d WHERE NOT (d.is_temporary OR d.address_names[1] = 'pg_temp')
  ) THEN RETURN; END IF;
  BEGIN
    contents := crmbackup.drop_contents(TG_TAG);
    BEGIN
      definitions := crmbackup.drop_definitions(TG_TAG, contents[1] -> 'tables', seen);
      -- The locks that reading them took go with the subtransaction; the variable stays.
      RAISE SQLSTATE 'CRMBK';
    EXCEPTION
      WHEN SQLSTATE 'CRMBK' THEN NULL;
      WHEN query_canceled OR assert_failure OR others THEN definitions := crmbackup.undescribed(TG_TAG, SQLERRM);
    END;
    messages := crmbackup.sealed(TG_TAG, contents, definitions);
  EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
    BEGIN
      messages := crmbackup.failed_contents(TG_TAG, SQLERRM);
    EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
      -- Not even that may be called any more: the archive's look at the catalog finds the change.
      messages := '{}';
    END;
  END;
  FOREACH content IN ARRAY messages LOOP
    PERFORM pg_logical_emit_message(true, 'crmbackup', content);
  END LOOP;
END $$
