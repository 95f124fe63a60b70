CREATE OR REPLACE FUNCTION crmbackup.publication_state() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
-- Everything that decides what our publication sends, as one hash: another one than at set-up means that somebody changed it.
SELECT encode(sha256(convert_to(concat_ws(';',
  (SELECT string_agg(to_jsonb(p)::text, ',') FROM pg_publication p
   WHERE p.pubname = (SELECT value FROM crmbackup.settings WHERE key = 'publication')),
  (SELECT string_agg(to_jsonb(r)::text, ',' ORDER BY r.prrelid) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
   WHERE p.pubname = (SELECT value FROM crmbackup.settings WHERE key = 'publication')),
  -- That of updates and deletes changes its list by itself.
  (SELECT to_jsonb(p)::text FROM pg_publication p
   WHERE p.pubname = (SELECT value FROM crmbackup.settings WHERE key = 'changesPublication'))), 'UTF8')), 'hex')
$$
