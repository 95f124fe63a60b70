CREATE OR REPLACE FUNCTION crmbackup.sealed(tag text, contents jsonb[], definitions jsonb[]) RETURNS bytea[]
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
-- The messages of one command: table images with their part of the definitions.
DECLARE
  messages bytea[] := '{}';
BEGIN
  FOR i IN 1 .. greatest(cardinality(contents), cardinality(definitions)) LOOP
    messages := messages || crmbackup.seal((
      coalesce(contents[i], jsonb_build_object('is', 'ddl', 'command', tag, 'schemaChanged', true, 'tables', '[]'::jsonb, 'dropped', '[]'::jsonb))
      || jsonb_build_object('schema', coalesce(definitions[i], '{"units": []}')))::text);
  END LOOP;
  RETURN messages;
END $$
