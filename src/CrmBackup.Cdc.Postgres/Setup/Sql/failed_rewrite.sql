CREATE OR REPLACE FUNCTION crmbackup.failed_rewrite(relation oid, reason text) RETURNS bytea[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
-- The rows could not be emitted again, and what was emitted of them is rolled back: the table has a gap.
BEGIN
  RAISE LOG 'crmbackup: the rows of table % were not emitted: %', relation, reason;
  RETURN ARRAY[crmbackup.seal(jsonb_build_object(
    'is', 'rewrite', 'table', crmbackup.table_image(relation), 'reemitted', false, 'reason', left(reason, 500))::text)];
EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
  RETURN '{}';
END $$
