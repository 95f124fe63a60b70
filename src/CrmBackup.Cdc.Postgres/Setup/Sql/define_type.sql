CREATE OR REPLACE FUNCTION crmbackup.define_type(type oid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
-- Enum, composite, domain or range; NULL for a base type, and for a range that needs a shell type first.
DECLARE
  t record;
  statement text;
BEGIN
  SELECT y.typtype, y.typowner, y.typacl, y.typrelid, y.typnotnull, y.typbasetype, y.typtypmod, y.typcollation, format('%I.%I', n.nspname, y.typname) AS name,
      (SELECT format(' COLLATE %I.%I', cn.nspname, k.collname) FROM pg_collation k JOIN pg_namespace cn ON cn.oid = k.collnamespace
       JOIN pg_type b ON b.oid = y.typbasetype WHERE k.oid = y.typcollation AND b.typcollation <> y.typcollation) AS collation,
      coalesce(pg_get_expr(y.typdefaultbin, 0), quote_literal(y.typdefault)) AS fallback
    INTO t FROM pg_type y JOIN pg_namespace n ON n.oid = y.typnamespace WHERE y.oid = type;
  statement := CASE t.typtype
    WHEN 'e' THEN format('CREATE TYPE %s AS ENUM (%s)', t.name, (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = type))
    WHEN 'c' THEN format('CREATE TYPE %s AS (%s)', t.name, (
      SELECT string_agg(concat(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), (
          SELECT format(' COLLATE %I.%I', n.nspname, k.collname) FROM pg_collation k JOIN pg_namespace n ON n.oid = k.collnamespace
          WHERE k.oid = a.attcollation AND a.attcollation <> y.typcollation)), ', ' ORDER BY a.attnum)
      FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
    WHEN 'd' THEN concat(format('CREATE DOMAIN %s AS %s', t.name, format_type(t.typbasetype, t.typtypmod)), t.collation, ' DEFAULT ' || t.fallback,
      CASE WHEN t.typnotnull AND NOT EXISTS (SELECT FROM pg_constraint WHERE contypid = type AND contype = 'n') THEN ' NOT NULL' END, (
        SELECT string_agg(format(' CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)), '' ORDER BY conname)
        FROM pg_constraint WHERE contypid = type AND convalidated))
    WHEN 'r' THEN (
      SELECT format('CREATE TYPE %s AS RANGE (SUBTYPE = %s%s, SUBTYPE_OPCLASS = %I.%I%s%s)', t.name, format_type(r.rngsubtype, NULL),
        (SELECT format(', MULTIRANGE_TYPE_NAME = %I.%I', n.nspname, m.typname) FROM pg_type m JOIN pg_namespace n ON n.oid = m.typnamespace WHERE m.oid = r.rngmultitypid),
        n.nspname, o.opcname,
        (SELECT format(', COLLATION = %I.%I', cn.nspname, k.collname) FROM pg_collation k JOIN pg_namespace cn ON cn.oid = k.collnamespace
         JOIN pg_type b ON b.oid = r.rngsubtype WHERE k.oid = r.rngcollation AND b.typcollation <> k.oid),
        (SELECT format(', SUBTYPE_DIFF = %I.%I', fn.nspname, f.proname) FROM pg_proc f JOIN pg_namespace fn ON fn.oid = f.pronamespace WHERE f.oid = r.rngsubdiff))
      FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE r.rngtypid = type AND r.rngcanonical = 0)
    END;
  IF statement IS NULL THEN RETURN NULL; END IF;
  RETURN jsonb_build_array(crmbackup.entry(CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, 'pg_type'::regclass, type,
      ARRAY[statement, format('ALTER %s %s OWNER TO %I', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, t.name, pg_get_userbyid(t.typowner))]
      || crmbackup.remarks('pg_type'::regclass, type) || crmbackup.remarks('pg_class'::regclass, t.typrelid)
      || ARRAY(SELECT r FROM pg_constraint k, LATERAL unnest(crmbackup.remarks('pg_constraint'::regclass, k.oid)) r WHERE k.contypid = type AND k.convalidated)
      || crmbackup.grants('TYPE ' || t.name, t.typowner, t.typacl)))
    || coalesce((SELECT jsonb_agg(crmbackup.entry('CHECK CONSTRAINT', 'pg_constraint'::regclass, k.oid,
        ARRAY[format('ALTER DOMAIN %s ADD CONSTRAINT %I %s', t.name, k.conname, pg_get_constraintdef(k.oid))]
        || crmbackup.remarks('pg_constraint'::regclass, k.oid), post => true)) FROM pg_constraint k WHERE k.contypid = type AND NOT k.convalidated), '[]');
END $$
