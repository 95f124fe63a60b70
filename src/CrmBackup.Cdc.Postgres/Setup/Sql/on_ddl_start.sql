CREATE OR REPLACE FUNCTION crmbackup.on_ddl_start() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = 150 AS $$
-- A table that a publication lists by name cannot become unlogged: the CRM's command would fail. What it may mean is taken off the list;
-- the command's end, which lists again what is still logged, finds it noted.
DECLARE
  said text;
  target record;
BEGIN
  GET DIAGNOSTICS said = PG_CONTEXT;
  said := lower(concat_ws(' ', current_query(), said));
  IF said !~ 'set\s+unlogged' THEN RETURN; END IF;
  BEGIN
    FOR target IN
      SELECT c.oid, p.pubname, format('%I.%I', n.nspname, c.relname) AS name
      FROM crmbackup.settings s JOIN pg_publication p ON p.pubname = s.value JOIN pg_publication_rel r ON r.prpubid = p.oid
      JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE s.key = 'changesPublication' AND said ~ ('(^|\W)' || regexp_replace(lower(replace(c.relname, '"', '""')), '(\W)', '\\\1', 'g') || '(\W|$)')
    LOOP
      EXECUTE format('ALTER PUBLICATION %I DROP TABLE ONLY %s', target.pubname, target.name);
      PERFORM set_config('crmbackup.unlisted', concat_ws(',', nullif(current_setting('crmbackup.unlisted', true), ''), target.oid), true);
    END LOOP;
  EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
    RAISE LOG 'crmbackup: a table was not taken off the list: %', SQLERRM;
  END;
END $$
