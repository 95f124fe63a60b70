CREATE OR REPLACE FUNCTION crmbackup.on_ddl_end() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
-- Whatever goes wrong in here, the CRM's command succeeds. A plain WHEN OTHERS would let its statement_timeout through.
DECLARE
  seen text := pg_current_snapshot();
  rewritten text := substring(current_setting('crmbackup.rewritten', true) FROM '^[0-9:,]+$');
  contents jsonb[];
  definitions jsonb[];
  messages bytea[];
  content bytea;
  note text;
  stack text;
BEGIN
  -- Commands of our own: the command around them is about to say it.
  GET DIAGNOSTICS stack = PG_CONTEXT;
  IF stack ~ 'function crmbackup\.(give_identity|publish_changes)\(oid\)|function crmbackup\.on_ddl_start\(\)' THEN RETURN; END IF;
  -- Temporary objects first, before any block: CRMs make them by the thousand. Then what changes no schema.
  IF TG_TAG IN ('REFRESH MATERIALIZED VIEW', 'REINDEX') OR NOT EXISTS (
      SELECT FROM pg_event_trigger_ddl_commands() c
      WHERE c.schema_name IS DISTINCT FROM 'pg_temp' AND c.schema_name IS DISTINCT FROM 'crmbackup') THEN
    RETURN;
  END IF;
  BEGIN
    contents := crmbackup.ddl_contents(TG_TAG);
    BEGIN
      definitions := crmbackup.ddl_definitions(TG_TAG, seen);
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
  -- Outside the block: inside, every command would cost the CRM's transaction a subtransaction id.
  FOREACH content IN ARRAY messages LOOP
    PERFORM pg_logical_emit_message(true, 'crmbackup', content);
  END LOOP;
  IF rewritten IS NULL THEN RETURN; END IF;
  PERFORM set_config('crmbackup.rewritten', '', true);
  FOREACH note IN ARRAY string_to_array(rewritten, ',') LOOP
    BEGIN
      PERFORM crmbackup.reemit(split_part(note, ':', 1)::oid, 'rewrite reason ' || split_part(note, ':', 2));
    EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
      BEGIN
        FOREACH content IN ARRAY crmbackup.failed_rewrite(split_part(note, ':', 1)::oid, SQLERRM) LOOP
          PERFORM pg_logical_emit_message(true, 'crmbackup', content);
        END LOOP;
      EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
        RAISE LOG 'crmbackup: the rows of table % were not emitted, and nothing was said: %', note, SQLERRM;
      END;
    END;
  END LOOP;
END $$
