CREATE OR REPLACE FUNCTION crmbackup.on_ddl_end() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
-- Whatever goes wrong in here, the CRM's command succeeds. A plain WHEN OTHERS would let its statement_timeout through.
DECLARE
  rewritten text := substring(current_setting('crmbackup.rewritten', true) FROM '^[0-9:,]+$');
  contents bytea[];
  content bytea;
  note text;
  stack text;
BEGIN
  -- An ALTER TABLE of give_identity's: the command around it is about to say it.
  GET DIAGNOSTICS stack = PG_CONTEXT;
  IF stack LIKE '%function crmbackup.give_identity(oid)%' THEN RETURN; END IF;
  -- Temporary objects first, before any block: CRMs make them by the thousand. Then what changes no schema.
  IF TG_TAG IN ('REFRESH MATERIALIZED VIEW', 'REINDEX') OR NOT EXISTS (
      SELECT FROM pg_event_trigger_ddl_commands() c
      WHERE c.schema_name IS DISTINCT FROM 'pg_temp' AND c.schema_name IS DISTINCT FROM 'crmbackup') THEN
    RETURN;
  END IF;
  BEGIN
    contents := crmbackup.ddl_contents(TG_TAG);
  EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
    contents := crmbackup.failed_contents(TG_TAG, SQLERRM);
  END;
  -- Outside the block: inside, every command would cost the CRM's transaction a subtransaction id.
  FOREACH content IN ARRAY contents LOOP
    PERFORM pg_logical_emit_message(true, 'crmbackup', content);
  END LOOP;
  IF rewritten IS NULL THEN RETURN; END IF;
  PERFORM set_config('crmbackup.rewritten', '', true);
  FOREACH note IN ARRAY string_to_array(rewritten, ',') LOOP
    BEGIN
      PERFORM crmbackup.reemit(split_part(note, ':', 1)::oid, 'rewrite reason ' || split_part(note, ':', 2));
    EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
      FOREACH content IN ARRAY crmbackup.failed_rewrite(split_part(note, ':', 1)::oid, SQLERRM) LOOP
        PERFORM pg_logical_emit_message(true, 'crmbackup', content);
      END LOOP;
    END;
  END LOOP;
END $$
