CREATE OR REPLACE FUNCTION crmbackup.seal(payload text) RETURNS bytea
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
-- The content of a message: mac, ordinal, payload, as UTF-8 whatever the database's encoding. Callable by the owner alone.
-- The ordinal counts within the transaction; what a rolled-back savepoint counted is counted again, as its messages are gone.
DECLARE
  ordinal int := coalesce(substring(current_setting('crmbackup.ordinal', true) FROM '^[0-9]{1,9}$')::int, 0) + 1;
  body bytea := convert_to(ordinal || ' ' || payload, 'UTF8');
  mac text;
BEGIN
  PERFORM set_config('crmbackup.ordinal', ordinal::text, true);
  SELECT encode(sha256(outer_pad || sha256(inner_pad || convert_to(pg_current_xact_id() || ' ', 'UTF8') || body)), 'hex')
    INTO STRICT mac FROM crmbackup.secret;
  RETURN convert_to(mac || ' ', 'UTF8') || body;
END $$
