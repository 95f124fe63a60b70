CREATE OR REPLACE FUNCTION crmbackup.publish_changes(relation oid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = 1 AS $$
-- Where updates and deletes have a publication of their own: lists the table there, and takes it off before the CRM's UPDATE would fail.
-- What PostgreSQL does not let be listed (18: the whole row as identity, with generated columns) tells its changes by a trigger.
-- True when they are told from here on. Stands in no lock queue: for who found a lock taken, capture tries again.
DECLARE
  target record;
BEGIN
  IF NOT EXISTS (SELECT FROM crmbackup.settings WHERE key = 'changesPublication') THEN RETURN true; END IF;
  SELECT format('%I.%I', n.nspname, c.relname) AS name, p.pubname, told.publishable, listed.has AS listed, triggered.has AS triggered,
    (SELECT format(' WHERE (%s)', pg_get_expr(r.prqual, relation)) FROM pg_publication_rel r
      JOIN pg_publication main ON main.oid = r.prpubid JOIN crmbackup.settings m ON m.key = 'publication' AND m.value = main.pubname
      WHERE r.prrelid = relation AND r.prqual IS NOT NULL) AS filter
    INTO target
  FROM crmbackup.settings s JOIN pg_publication p ON p.pubname = s.value
  CROSS JOIN pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL (SELECT CASE c.relreplident
    WHEN 'f' THEN NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.attgenerated <> '')
    ELSE crmbackup.has_key(c.oid) END) told (publishable)
  CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid)) listed (has)
  CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM pg_trigger t
    WHERE t.tgrelid = c.oid AND t.tgname = 'crmbackup_changes' AND t.tgenabled = 'A')) triggered (has)
  WHERE s.key = 'changesPublication' AND c.oid = relation AND c.relkind = 'r' AND c.relpersistence = 'p';
  IF NOT FOUND OR (target.listed = target.publishable AND target.triggered <> target.publishable) THEN RETURN true; END IF;
  IF NOT crmbackup.protects(relation) THEN RETURN true; END IF;
  BEGIN
    -- No writer may be under way: decoding would leave out what it changed before.
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE NOWAIT', target.name);
    IF target.listed AND NOT target.publishable THEN
      EXECUTE format('ALTER PUBLICATION %I DROP TABLE ONLY %s', target.pubname, target.name);
    ELSIF target.publishable AND NOT target.listed THEN
      EXECUTE format('ALTER PUBLICATION %I ADD TABLE ONLY %s%s', target.pubname, target.name, target.filter);
    END IF;
    IF target.publishable THEN
      EXECUTE format('DROP TRIGGER IF EXISTS crmbackup_changes ON %s', target.name);
    ELSIF target.filter IS NULL THEN
      EXECUTE format('CREATE OR REPLACE TRIGGER crmbackup_changes AFTER UPDATE OR DELETE ON %s'
        ' FOR EACH ROW EXECUTE FUNCTION crmbackup.on_change()', target.name);
      EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER crmbackup_changes', target.name);
    END IF;
  EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
    RAISE LOG 'crmbackup: updates and deletes of % are not published yet: %', target.name, SQLERRM;
    RETURN false;
  END;
  RETURN target.publishable OR target.filter IS NULL;
END $$
