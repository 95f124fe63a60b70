CREATE OR REPLACE FUNCTION crmbackup.reemit(relation oid, cause text) RETURNS void
LANGUAGE plpgsql /*canonical*/ SET lock_timeout = 1 AS $$
-- The rows of a rewritten table as it is now, as record texts of all its columns but the generated ones, which the stream does not carry
-- either: a rewrite is not decoded.
DECLARE
  size_limit bigint := (SELECT value::bigint FROM crmbackup.settings WHERE key = 'rewriteLimit');
  image jsonb := crmbackup.table_image(relation);
  columns text := (
    SELECT coalesce(string_agg(quote_ident(a ->> 'name'), ', ' ORDER BY (a ->> 'attNum')::int), '')
    FROM jsonb_array_elements(image -> 'columns') a WHERE a ->> 'generated' = 'n');
  refusal text;
  row_text text;
  batch text[] := '{}';
  batch_size bigint := 0;
  total_size bigint := 0;
BEGIN
  IF image IS NULL OR NOT crmbackup.protects(relation) THEN RETURN; END IF;
  refusal := CASE
    WHEN image ->> 'kind' <> 'r' THEN 'it holds no rows itself'
    WHEN image ->> 'persistence' <> 'p' THEN 'it is not logged'
    WHEN pg_table_size(relation) > size_limit THEN 'it is larger than the rewrite limit of ' || size_limit || ' bytes'
    WHEN EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = relation AND to_jsonb(pg_publication_rel) ->> 'prqual' IS NOT NULL)
      THEN 'only chosen rows of it are protected' END;
  PERFORM pg_logical_emit_message(true, 'crmbackup', crmbackup.seal(jsonb_strip_nulls(jsonb_build_object(
    'is', 'rewrite', 'table', image, 'reemitted', refusal IS NULL, 'reason', coalesce(refusal, cause)))::text));
  IF refusal IS NOT NULL THEN RETURN; END IF;
  FOR row_text IN EXECUTE format('SELECT x::text FROM (SELECT %s FROM ONLY %I.%I) x', columns, image ->> 'schema', image ->> 'name') LOOP
    total_size := total_size + length(row_text);
    IF total_size > 4 * size_limit THEN RAISE EXCEPTION 'its rows are larger than four times the rewrite limit'; END IF;
    batch := batch || row_text;
    batch_size := batch_size + length(row_text);
    IF batch_size > 262144 OR array_length(batch, 1) = 1000 THEN
      PERFORM pg_logical_emit_message(true, 'crmbackup', crmbackup.seal(
        jsonb_build_object('is', 'rows', 'oid', relation::bigint, 'rows', to_jsonb(batch))::text));
      batch := '{}';
      batch_size := 0;
    END IF;
  END LOOP;
  IF array_length(batch, 1) > 0 THEN
    PERFORM pg_logical_emit_message(true, 'crmbackup', crmbackup.seal(
      jsonb_build_object('is', 'rows', 'oid', relation::bigint, 'rows', to_jsonb(batch))::text));
  END IF;
END $$
