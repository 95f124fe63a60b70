CREATE OR REPLACE FUNCTION crmbackup.failed_contents(tag text, reason text) RETURNS bytea[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
-- The command was not described: say so, rather than nothing. When even that fails, the archive's fingerprint finds it.
BEGIN
  RAISE LOG 'crmbackup: % was not described: %', tag, reason;
  RETURN ARRAY[crmbackup.seal(jsonb_build_object(
    'is', 'ddl', 'command', tag, 'schemaChanged', true, 'tables', '[]'::jsonb, 'dropped', '[]'::jsonb,
    'incomplete', left(reason, 500))::text)];
EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
  RETURN '{}';
END $$
