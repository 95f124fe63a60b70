CREATE OR REPLACE FUNCTION crmbackup.define_relation(relation oid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
-- Table, view, materialized view, foreign table or sequence: it alone, without what hangs on it (define_parts).
DECLARE
  t record;
  word text;
  columns text;
  statements text[];
  tail text[];
  defaults jsonb;
BEGIN
  SELECT c.oid, c.relkind AS kind, c.relpersistence AS persistence, c.relispartition AS is_partition, c.relreplident AS identity, c.relowner AS owner,
      c.relacl AS acl, c.relrowsecurity, c.relforcerowsecurity, format('%I.%I', n.nspname, c.relname) AS name, n.nspname AS schema,
      (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace) AS tablespace, (SELECT amname FROM pg_am WHERE oid = c.relam AND amtype = 't') AS method,
      (SELECT string_agg(format('%s%I=%L', o.prefix, split_part(o.option, '=', 1), substr(o.option, strpos(o.option, '=') + 1)), ', ')
       FROM (SELECT '' AS prefix, unnest(c.reloptions) AS option
             UNION ALL SELECT 'toast.', unnest(x.reloptions) FROM pg_class x WHERE x.oid = c.reltoastrelid) o) AS options,
      (SELECT string_agg(format('%I.%I', pn.nspname, p.relname), ', ' ORDER BY i.inhseqno) FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
       JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid) AS parents,
      pg_get_expr(c.relpartbound, c.oid) AS bound
    INTO t FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation AND c.reloftype = 0;
  IF NOT FOUND THEN RETURN NULL; END IF;
  word := CASE t.kind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END;
  tail := ARRAY[format('ALTER %s %s OWNER TO %I', word, t.name, pg_get_userbyid(t.owner))]
    || crmbackup.remarks('pg_class'::regclass, relation)
    || crmbackup.grants(CASE t.kind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || t.name, t.owner, t.acl);
  IF t.kind = 'S' THEN
    RETURN (SELECT jsonb_build_array(crmbackup.entry('SEQUENCE', 'pg_class'::regclass, relation,
        format('CREATE %sSEQUENCE %s AS %s START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s', CASE t.persistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END,
          t.name, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END) || tail))
      || coalesce((SELECT jsonb_agg(crmbackup.entry('SEQUENCE OWNED BY', 0, 0,
          ARRAY[format('ALTER SEQUENCE %s OWNED BY %I.%I.%I', t.name, n.nspname, c.relname, a.attname)]))
        FROM pg_depend d JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
        WHERE d.classid = 'pg_class'::regclass AND d.objid = relation AND d.objsubid = 0 AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a'), '[]')
      FROM pg_sequence s WHERE s.seqrelid = relation);
  END IF;
  -- Defaults are set apart, so that no function need come before the table; generated columns have theirs from the start.
  SELECT string_agg(CASE WHEN a.attislocal OR t.is_partition THEN concat(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)),
        (SELECT format(' OPTIONS (%s)', string_agg(format('%I %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ')) FROM unnest(a.attfdwoptions) o HAVING count(*) > 0),
        (SELECT format(' COLLATE %I.%I', n.nspname, k.collname) FROM pg_collation k JOIN pg_namespace n ON n.oid = k.collnamespace
         WHERE k.oid = a.attcollation AND a.attcollation <> y.typcollation),
        CASE a.attgenerated WHEN 's' THEN format(' GENERATED ALWAYS AS (%s) STORED', pg_get_expr(d.adbin, d.adrelid))
                            WHEN 'v' THEN format(' GENERATED ALWAYS AS (%s)', pg_get_expr(d.adbin, d.adrelid)) END,
        CASE WHEN a.attnotnull THEN coalesce((
          SELECT format(' CONSTRAINT %I NOT NULL%s', k.conname, CASE WHEN k.connoinherit THEN ' NO INHERIT' ELSE '' END) FROM pg_constraint k
          WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND k.convalidated),
          CASE WHEN NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]) THEN ' NOT NULL' END) END) END,
      E',\n  ' ORDER BY a.attnum),
    jsonb_agg(crmbackup.entry('DEFAULT', 'pg_attrdef'::regclass, d.oid,
      ARRAY[format('ALTER %s ONLY %s ALTER COLUMN %I SET DEFAULT %s', CASE t.kind WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
        t.name, a.attname, pg_get_expr(d.adbin, d.adrelid))]) ORDER BY a.attnum) FILTER (WHERE d.oid IS NOT NULL AND a.attgenerated = '')
    INTO columns, defaults
  FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;
  SELECT array_agg(alter ORDER BY attnum, place) || tail INTO tail FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid, LATERAL (VALUES
      -- From 18 on NOT NULL is a constraint with a name, inherited or not.
      (1, CASE WHEN a.attislocal OR t.is_partition OR NOT a.attnotnull THEN NULL
        WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]) THEN (
          SELECT format('ADD CONSTRAINT %I NOT NULL %I', k.conname, a.attname) FROM pg_constraint k
          WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND k.conislocal AND k.convalidated)
        ELSE 'SET NOT NULL' END),
      (2, CASE WHEN NOT (a.attislocal OR t.is_partition) AND NOT a.atthasdef THEN 'DROP DEFAULT' END),
      (3, CASE WHEN a.attstattarget >= 0 THEN 'SET STATISTICS ' || a.attstattarget END),
      (4, CASE WHEN a.attstorage <> y.typstorage THEN 'SET STORAGE ' || CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END),
      (5, CASE a.attcompression WHEN 'p' THEN 'SET COMPRESSION pglz' WHEN 'l' THEN 'SET COMPRESSION lz4' END),
      (6, (SELECT format('SET (%s)', string_agg(format('%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ')) FROM unnest(a.attoptions) o HAVING count(*) > 0))
    ) v (place, what), LATERAL (SELECT concat_ws(' ', 'ALTER', CASE t.kind WHEN 'm' THEN 'TABLE' ELSE word END, 'ONLY', t.name,
      CASE WHEN what NOT LIKE 'ADD %' THEN 'ALTER COLUMN ' || quote_ident(a.attname) END, what)) x (alter)
  WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND what IS NOT NULL AND t.kind <> 'v';
  SELECT tail || array_agg(given ORDER BY attnum, place) INTO tail FROM pg_attribute a,
    LATERAL unnest(crmbackup.grants('TABLE ' || t.name, t.owner, a.attacl, quote_ident(a.attname))) WITH ORDINALITY g (given, place)
  WHERE a.attrelid = relation AND a.attacl IS NOT NULL AND NOT a.attisdropped;
  IF t.kind IN ('v', 'm') THEN
    statements := ARRAY[format('CREATE %s %s%s%s AS %s%s', word, t.name, ' USING ' || quote_ident(t.method), ' WITH (' || t.options || ')',
      rtrim(pg_get_viewdef(relation), ';'), CASE t.kind WHEN 'm' THEN E'\n  WITH NO DATA' ELSE '' END)];
  ELSE
    columns := concat_ws(E',\n  ', columns, (
      SELECT string_agg(format('CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)), E',\n  ' ORDER BY conname) FROM pg_constraint
      WHERE conrelid = relation AND contype = 'c' AND convalidated AND (conislocal OR t.is_partition)));
    statements := ARRAY[
      concat('CREATE ', CASE t.persistence WHEN 'u' THEN 'UNLOGGED ' END, word, ' ', t.name, coalesce(E' (\n  ' || nullif(columns, '') || E'\n)', ' ()'),
        CASE WHEN NOT t.is_partition THEN ' INHERITS (' || t.parents || ')' END,
        CASE t.kind WHEN 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(relation) END,
        ' USING ' || quote_ident(t.method), ' WITH (' || t.options || ')',
        (SELECT concat(' SERVER ', quote_ident(s.srvname), ' OPTIONS (' ||
            (SELECT string_agg(format('%I %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM unnest(f.ftoptions) o) || ')')
         FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = relation)),
      CASE WHEN t.identity IN ('f', 'n') AND t.kind <> 'f' THEN
        format('ALTER TABLE ONLY %s REPLICA IDENTITY %s', t.name, CASE t.identity WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END) END,
      CASE WHEN t.relforcerowsecurity THEN format('ALTER TABLE ONLY %s FORCE ROW LEVEL SECURITY', t.name) END];
  END IF;
  RETURN jsonb_build_array(crmbackup.entry(word, 'pg_class'::regclass, relation, statements || tail, tablespace => t.tablespace)) || coalesce(defaults, '[]')
    || CASE WHEN t.is_partition THEN jsonb_build_array(crmbackup.entry('TABLE ATTACH', 0, 0,
        ARRAY[format('ALTER TABLE ONLY %s ATTACH PARTITION %s %s', t.parents, t.name, t.bound)])) ELSE '[]' END
    || CASE WHEN t.relrowsecurity THEN jsonb_build_array(crmbackup.entry('ROW SECURITY', 0, 0,
        ARRAY[format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.name)], post => true)) ELSE '[]' END;
END $$
