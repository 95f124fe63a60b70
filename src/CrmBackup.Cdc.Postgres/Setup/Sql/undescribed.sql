CREATE OR REPLACE FUNCTION crmbackup.undescribed(tag text, reason text) RETURNS jsonb[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
-- The objects of a command could not be described: the schema has a gap until it is dumped again.
BEGIN
  RAISE LOG 'crmbackup: what % touched was not described: %', tag, reason;
  RETURN ARRAY[jsonb_build_object('undescribed', left(reason, 500))];
END $$
