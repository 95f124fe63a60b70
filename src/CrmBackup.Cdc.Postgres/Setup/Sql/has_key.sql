CREATE OR REPLACE FUNCTION crmbackup.has_key(relation oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
-- Does an index name the rows of a table, by its replica identity? One over a generated column does not: the stream does not carry it.
SELECT EXISTS (
  SELECT FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid
  WHERE c.oid = relation AND i.indisvalid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL
    AND ((c.relreplident = 'd' AND i.indisprimary) OR (c.relreplident = 'i' AND i.indisreplident))
    AND NOT EXISTS (
      SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
      WHERE k.place <= i.indnkeyatts AND a.attgenerated <> ''))
$$
