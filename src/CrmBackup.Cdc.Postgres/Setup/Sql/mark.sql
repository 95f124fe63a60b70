CREATE OR REPLACE FUNCTION crmbackup.mark(name text, before boolean DEFAULT false) RETURNS pg_lsn
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
-- A restore point: the state after the calling transaction, or before it.
BEGIN
  IF name IS NULL OR name = '' OR length(name) > 200 THEN
    RAISE EXCEPTION 'a mark has a name of 1 to 200 characters' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  RETURN pg_logical_emit_message(true, 'crmbackup', crmbackup.seal(
    jsonb_build_object('is', 'mark', 'name', name, 'before', coalesce(before, false))::text));
END $$
