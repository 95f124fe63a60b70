CREATE OR REPLACE FUNCTION crmbackup.barrier(id text) RETURNS pg_lsn
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
-- Everything visible to the caller before this call lies before the commit of this message.
BEGIN
  RETURN pg_logical_emit_message(true, 'crmbackup', crmbackup.seal(
    jsonb_build_object('is', 'barrier', 'id', left(id, 200))::text));
END $$
