CREATE OR REPLACE FUNCTION crmbackup.on_rewrite() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
-- Notes the table and nothing else: reading it here, with the new catalog over the old rows, crashed PostgreSQL 15.
BEGIN
  PERFORM set_config('crmbackup.rewritten', concat_ws(',', nullif(current_setting('crmbackup.rewritten', true), ''),
    pg_event_trigger_table_rewrite_oid() || ':' || pg_event_trigger_table_rewrite_reason()), true);
EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
  RAISE LOG 'crmbackup: a rewrite was not noted: %', SQLERRM;
END $$
