CREATE OR REPLACE FUNCTION crmbackup.define_parts(relation oid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
-- What hangs on a relation: identities, constraints, indexes, rules, triggers, policies, extended statistics.
DECLARE
  table_name text := (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation);
  -- A key's or foreign key's clone in a partition comes from above.
  only_word text := (SELECT CASE relkind WHEN 'p' THEN '' ELSE 'ONLY ' END FROM pg_class WHERE oid = relation);
BEGIN
  RETURN coalesce((SELECT jsonb_agg(part) FROM (
    SELECT crmbackup.entry('IDENTITY', 'pg_class'::regclass, s.oid, ARRAY[
        format('ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY (SEQUENCE NAME %s START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s)',
          table_name, a.attname, CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, x.name,
          q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, CASE WHEN q.seqcycle THEN ' CYCLE' ELSE '' END)]
        || CASE WHEN current_setting('server_version_num')::int < 150000 THEN NULL
                WHEN s.relpersistence = 'u' AND owner.relpersistence = 'p' THEN format('ALTER SEQUENCE %s SET UNLOGGED', x.name)
                WHEN s.relpersistence = 'p' AND owner.relpersistence = 'u' THEN format('ALTER SEQUENCE %s SET LOGGED', x.name) END
        || crmbackup.remarks('pg_class'::regclass, s.oid) || crmbackup.grants('SEQUENCE ' || x.name, s.relowner, s.relacl)) AS part
    FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
      JOIN pg_sequence q ON q.seqrelid = s.oid JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = d.refobjsubid
      JOIN pg_class owner ON owner.oid = relation, LATERAL (SELECT format('%I.%I', n.nspname, s.relname) AS name) x
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = relation AND d.classid = 'pg_class'::regclass AND d.deptype = 'i' AND d.refobjsubid > 0
    UNION ALL
    SELECT crmbackup.entry(CASE WHEN k.contype = 'f' THEN 'FK CONSTRAINT' WHEN k.contype IN ('p', 'u', 'x') THEN 'CONSTRAINT' ELSE 'CHECK CONSTRAINT' END,
        'pg_constraint'::regclass, k.oid,
        ARRAY[format('ALTER TABLE %s%s ADD CONSTRAINT %I %s', CASE WHEN k.contype IN ('p', 'u', 'x') THEN 'ONLY ' WHEN k.contype = 'f' THEN only_word ELSE '' END,
          table_name, k.conname, pg_get_constraintdef(k.oid))]
        || CASE WHEN k.contype IN ('p', 'u', 'x') THEN crmbackup.index_state(k.conindid) END || crmbackup.remarks('pg_constraint'::regclass, k.oid),
        post => true, tablespace => CASE WHEN k.contype IN ('p', 'u', 'x') THEN
          (SELECT s.spcname FROM pg_class i JOIN pg_tablespace s ON s.oid = i.reltablespace WHERE i.oid = k.conindid) END)
    FROM pg_constraint k WHERE k.conrelid = relation
      AND (k.contype IN ('p', 'u', 'x') OR (k.contype = 'f' AND k.conparentid = 0) OR (k.contype IN ('c', 'n') AND NOT k.convalidated AND k.conislocal))
    UNION ALL
    -- Checks are part of the table; what is said of them can only follow it.
    SELECT crmbackup.entry('CHECK CONSTRAINT', 'pg_constraint'::regclass, k.oid, r.statements)
    FROM pg_constraint k, LATERAL crmbackup.remarks('pg_constraint'::regclass, k.oid) r (statements)
    WHERE k.conrelid = relation AND k.contype IN ('c', 'n') AND k.convalidated AND cardinality(r.statements) > 0
    UNION ALL
    SELECT crmbackup.entry('INDEX', 'pg_class'::regclass, c.oid,
        ARRAY[pg_get_indexdef(c.oid)] || crmbackup.index_state(c.oid), post => true, name => ARRAY[n.nspname::text, c.relname::text],
        tablespace => (SELECT s.spcname FROM pg_tablespace s WHERE s.oid = c.reltablespace))
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indrelid = relation AND (i.indisvalid OR c.relkind = 'I') AND i.indisready
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = relation AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT crmbackup.entry('INDEX ATTACH', 0, 0, ARRAY[format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I', pn.nspname, p.relname, cn.nspname, c.relname)], post => true)
    FROM pg_index i JOIN pg_inherits h ON h.inhrelid = i.indexrelid JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
      JOIN pg_class p ON p.oid = h.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE i.indrelid = relation
    UNION ALL
    SELECT crmbackup.entry('RULE', 'pg_rewrite'::regclass, r.oid, ARRAY[rtrim(pg_get_ruledef(r.oid), ';'),
        CASE r.ev_enabled WHEN 'D' THEN format('ALTER TABLE %s DISABLE RULE %I', table_name, r.rulename)
          WHEN 'R' THEN format('ALTER TABLE %s ENABLE REPLICA RULE %I', table_name, r.rulename)
          WHEN 'A' THEN format('ALTER TABLE %s ENABLE ALWAYS RULE %I', table_name, r.rulename) END] || crmbackup.remarks('pg_rewrite'::regclass, r.oid), post => true)
    FROM pg_rewrite r WHERE r.ev_class = relation AND r.rulename <> '_RETURN'
    UNION ALL
    SELECT crmbackup.entry('TRIGGER', 'pg_trigger'::regclass, g.oid, ARRAY[CASE WHEN g.tgparentid = 0 THEN pg_get_triggerdef(g.oid) END,
        CASE WHEN g.tgenabled <> 'O' OR g.tgparentid <> 0 THEN format('ALTER TABLE %s %s TRIGGER %I', table_name,
          CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE' END, g.tgname) END]
        || crmbackup.remarks('pg_trigger'::regclass, g.oid), post => true)
    FROM pg_trigger g LEFT JOIN pg_trigger above ON above.oid = g.tgparentid
    -- 14 calls the clone of a trigger in a partition internal, as the triggers of a foreign key are.
    WHERE g.tgrelid = relation AND g.tgname <> 'crmbackup_changes' AND CASE WHEN g.tgparentid = 0 THEN NOT g.tgisinternal ELSE g.tgenabled <> above.tgenabled
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.oid = g.tgconstraint AND k.contype <> 't') END
    UNION ALL
    SELECT crmbackup.entry('POLICY', 'pg_policy'::regclass, p.oid, ARRAY[concat(format('CREATE POLICY %I ON %s', p.polname, table_name),
        CASE WHEN NOT p.polpermissive THEN ' AS RESTRICTIVE' END,
        CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT' WHEN 'w' THEN ' FOR UPDATE' WHEN 'd' THEN ' FOR DELETE' END,
        ' TO ' || (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', ') FROM unnest(p.polroles) o),
        ' USING (' || pg_get_expr(p.polqual, relation) || ')', ' WITH CHECK (' || pg_get_expr(p.polwithcheck, relation) || ')')]
        || crmbackup.remarks('pg_policy'::regclass, p.oid), post => true)
    FROM pg_policy p WHERE p.polrelid = relation
    UNION ALL
    SELECT crmbackup.entry('STATISTICS', 'pg_statistic_ext'::regclass, s.oid, ARRAY[pg_get_statisticsobjdef(s.oid),
        format('ALTER STATISTICS %I.%I OWNER TO %I', n.nspname, s.stxname, pg_get_userbyid(s.stxowner)),
        CASE WHEN s.stxstattarget >= 0 THEN format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname, s.stxname, s.stxstattarget) END]
        || crmbackup.remarks('pg_statistic_ext'::regclass, s.oid), post => true)
    FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = relation) parts), '[]');
END $$
