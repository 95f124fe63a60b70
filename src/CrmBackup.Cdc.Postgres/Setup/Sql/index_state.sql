CREATE OR REPLACE FUNCTION crmbackup.index_state(index_oid oid) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
-- What CREATE INDEX or ADD CONSTRAINT does not say of an index: clustering, replica identity, statistics, a constraint's storage options, comments.
BEGIN
  RETURN (SELECT ARRAY[
      CASE WHEN i.indisclustered THEN format('ALTER TABLE %s CLUSTER ON %I', t.name, c.relname) END,
      CASE WHEN i.indisreplident THEN format('ALTER TABLE ONLY %s REPLICA IDENTITY USING INDEX %I', t.name, c.relname) END,
      CASE WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')) THEN
        (SELECT format('ALTER INDEX %I.%I SET (%s)', n.nspname, c.relname,
          string_agg(format('%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ')) FROM unnest(c.reloptions) o HAVING count(*) > 0) END]
    || ARRAY(SELECT format('ALTER INDEX %I.%I ALTER COLUMN %s SET STATISTICS %s', n.nspname, c.relname, a.attnum, a.attstattarget)
        FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attstattarget >= 0 ORDER BY a.attnum)
    || crmbackup.remarks('pg_class'::regclass, c.oid)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
    LATERAL (SELECT format('%I.%I', tn.nspname, r.relname) AS name FROM pg_class r JOIN pg_namespace tn ON tn.oid = r.relnamespace WHERE r.oid = i.indrelid) t
  WHERE i.indexrelid = index_oid);
END $$
