CREATE OR REPLACE FUNCTION crmbackup.give_identity(relation oid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = 1 AS $$
-- A table without replica identity cannot be updated while its updates are published. The transaction that made it so holds
-- its lock already. A unique index over NOT NULL columns is smaller than the whole row; the narrowest one is taken.
DECLARE
  target record;
  key_index name;
BEGIN
  SELECT c.relname, n.nspname, c.relreplident INTO target
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid = relation AND c.relkind = 'r' AND c.relpersistence = 'p' AND c.relreplident <> 'f'
    AND NOT crmbackup.has_key(c.oid);
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO crmbackup.settings (key, value)
  VALUES ('identity.' || relation, CASE target.relreplident WHEN 'd' THEN 'd' ELSE 'n' END) ON CONFLICT (key) DO NOTHING;
  SELECT x.relname INTO key_index
  FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
  WHERE i.indrelid = relation AND i.indisvalid AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
    AND NOT EXISTS (
      SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
      JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.attnum
      WHERE k.place <= i.indnkeyatts AND (NOT a.attnotnull OR a.attgenerated <> ''))
  ORDER BY i.indnkeyatts, x.oid LIMIT 1;
  IF key_index IS NULL THEN
    EXECUTE format('ALTER TABLE ONLY %I.%I REPLICA IDENTITY FULL', target.nspname, target.relname);
  ELSE
    EXECUTE format('ALTER TABLE ONLY %I.%I REPLICA IDENTITY USING INDEX %I', target.nspname, target.relname, key_index);
  END IF;
END $$
