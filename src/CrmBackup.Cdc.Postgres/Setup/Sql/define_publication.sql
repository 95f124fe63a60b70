CREATE OR REPLACE FUNCTION crmbackup.define_publication(publication oid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
-- A publication of the CRM's own, with its tables and schemas. Row filters and column lists came with 15.
DECLARE
  name text;
  entries jsonb;
  schemas jsonb := '[]';
BEGIN
  SELECT format('%I', p.pubname), jsonb_build_array(crmbackup.entry('PUBLICATION', 'pg_publication'::regclass, publication,
      ARRAY[format('CREATE PUBLICATION %I%s WITH (publish = %L%s%s)', p.pubname, CASE WHEN p.puballtables THEN ' FOR ALL TABLES' ELSE '' END,
          concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END,
            CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END),
          CASE WHEN p.pubviaroot THEN ', publish_via_partition_root = true' ELSE '' END,
          CASE to_jsonb(p) ->> 'pubgencols' WHEN 's' THEN ', publish_generated_columns = stored' ELSE '' END),
        format('ALTER PUBLICATION %I OWNER TO %I', p.pubname, pg_get_userbyid(p.pubowner))] || crmbackup.remarks('pg_publication'::regclass, publication), post => true))
    INTO name, entries
  FROM pg_publication p WHERE p.oid = publication;
  IF entries IS NULL THEN RETURN '[]'; END IF;
  EXECUTE $q$SELECT $2 || coalesce(jsonb_agg(crmbackup.entry('PUBLICATION TABLE', 'pg_publication_rel'::regclass, r.oid,
      ARRAY[concat(format('ALTER PUBLICATION %s ADD TABLE ONLY %I.%I', $3, n.nspname, c.relname),
        (SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')' FROM pg_attribute a
         WHERE a.attrelid = r.prrelid AND to_jsonb(r) -> 'prattrs' @> to_jsonb(a.attnum)),
        ' WHERE (' || $q$ || CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'pg_publication_rel'::regclass AND attname = 'prqual')
          THEN 'pg_get_expr(r.prqual, r.prrelid)' ELSE 'NULL' END || $q$ || ')')], post => true)), '[]')
    FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.prpubid = $1$q$
    INTO entries USING publication, entries, name;
  IF to_regclass('pg_catalog.pg_publication_namespace') IS NOT NULL THEN
    EXECUTE $q$SELECT coalesce(jsonb_agg(crmbackup.entry('PUBLICATION TABLES IN SCHEMA', 'pg_publication_namespace'::regclass, x.oid,
        ARRAY[format('ALTER PUBLICATION %s ADD TABLES IN SCHEMA %I', $2, n.nspname)], post => true)), '[]')
      FROM pg_publication_namespace x JOIN pg_namespace n ON n.oid = x.pnnspid WHERE x.pnpubid = $1$q$ INTO schemas USING publication, name;
  END IF;
  RETURN entries || schemas;
END $$
