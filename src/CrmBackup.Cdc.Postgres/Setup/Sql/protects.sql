CREATE OR REPLACE FUNCTION crmbackup.protects(relation oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
-- Is the table meant to be protected: all are, or it is in our publication, itself or through a partitioned ancestor?
-- Unlogged ones count: they may become logged.
SELECT EXISTS (
  SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid = relation AND c.oid >= 16384 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('crmbackup', 'pg_catalog', 'information_schema', 'pg_toast'))
  AND (EXISTS (SELECT FROM crmbackup.settings WHERE key = 'scope' AND value = 'all')
    OR EXISTS (
      SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
      JOIN crmbackup.settings s ON s.key = 'publication' AND s.value = p.pubname
      WHERE r.prrelid = relation OR r.prrelid IN (SELECT relid FROM pg_partition_ancestors(relation))))
$$
