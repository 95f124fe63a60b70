CREATE OR REPLACE FUNCTION crmbackup.define(class oid, object oid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
-- An object's whole definition: {"class", "oid", "entries", "on": what it refers to}. Entries are absent when it is of a kind that is not
-- described; NULL when it is not there, or none of the CRM's.
DECLARE
  namespace oid;
  entries jsonb;
BEGIN
  CASE class
    WHEN 'pg_class'::regclass THEN SELECT relnamespace INTO namespace FROM pg_class WHERE oid = object;
    WHEN 'pg_type'::regclass THEN SELECT typnamespace INTO namespace FROM pg_type WHERE oid = object;
    WHEN 'pg_proc'::regclass THEN SELECT pronamespace INTO namespace FROM pg_proc WHERE oid = object;
    WHEN 'pg_namespace'::regclass THEN namespace := object;
    ELSE namespace := 0;
  END CASE;
  IF namespace IS NULL OR EXISTS (SELECT FROM pg_namespace n WHERE n.oid = namespace AND (n.nspname IN ('crmbackup', 'pg_catalog', 'pg_toast') OR n.nspname ~ '^pg_(toast_)?temp_'))
    OR (class = 'pg_event_trigger'::regclass AND EXISTS (SELECT FROM pg_event_trigger WHERE oid = object AND evtname LIKE 'crmbackup%'))
    OR (class = 'pg_publication'::regclass AND EXISTS (SELECT FROM pg_publication p JOIN crmbackup.settings s ON s.value = p.pubname
      WHERE p.oid = object AND s.key IN ('publication', 'changesPublication'))) THEN
    RETURN NULL;
  END IF;
  -- What an extension made is the extension's; what was changed of it since, or hangs on one, only a dump tells.
  IF NOT EXISTS (SELECT FROM pg_depend WHERE classid = class AND objid = object AND deptype IN ('e', 'x')) THEN
    CASE class
      WHEN 'pg_class'::regclass THEN entries := crmbackup.define_relation(object) || crmbackup.define_parts(object);
      WHEN 'pg_type'::regclass THEN entries := crmbackup.define_type(object);
      WHEN 'pg_proc'::regclass THEN entries := crmbackup.define_function(object);
      WHEN 'pg_namespace'::regclass THEN
        SELECT jsonb_build_array(crmbackup.entry('SCHEMA', class, object,
            ARRAY[format('CREATE SCHEMA %s%I', CASE nspname WHEN 'public' THEN 'IF NOT EXISTS ' ELSE '' END, nspname),
              format('ALTER SCHEMA %I OWNER TO %I', nspname, pg_get_userbyid(nspowner))]
            || crmbackup.remarks(class, object) || crmbackup.grants(format('SCHEMA %I', nspname), nspowner, nspacl)))
          INTO entries FROM pg_namespace WHERE oid = object;
      WHEN 'pg_extension'::regclass THEN
        SELECT jsonb_build_array(crmbackup.entry('EXTENSION', class, object,
            ARRAY[format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I', e.extname, n.nspname)] || crmbackup.remarks(class, object)))
          INTO entries FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid = object;
      WHEN 'pg_publication'::regclass THEN entries := crmbackup.define_publication(object);
      WHEN 'pg_cast'::regclass THEN
        SELECT jsonb_build_array(crmbackup.entry('CAST', class, object, ARRAY[concat(format('CREATE CAST (%s AS %s)', format_type(castsource, NULL), format_type(casttarget, NULL)),
            CASE castmethod WHEN 'b' THEN ' WITHOUT FUNCTION' WHEN 'i' THEN ' WITH INOUT' ELSE ' WITH FUNCTION ' || castfunc::regprocedure END,
            CASE castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' END)] || crmbackup.remarks(class, object)))
          INTO entries FROM pg_cast WHERE oid = object;
      WHEN 'pg_foreign_data_wrapper'::regclass THEN
        SELECT jsonb_build_array(crmbackup.entry('FOREIGN DATA WRAPPER', class, object, ARRAY[concat(format('CREATE FOREIGN DATA WRAPPER %I', fdwname),
            ' HANDLER ' || nullif(fdwhandler::oid, 0)::regproc, ' VALIDATOR ' || nullif(fdwvalidator::oid, 0)::regproc,
            ' OPTIONS (' || (SELECT string_agg(format('%I %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM unnest(fdwoptions) o) || ')'),
            format('ALTER FOREIGN DATA WRAPPER %I OWNER TO %I', fdwname, pg_get_userbyid(fdwowner))]
            || crmbackup.remarks(class, object) || crmbackup.grants(format('FOREIGN DATA WRAPPER %I', fdwname), fdwowner, fdwacl)))
          INTO entries FROM pg_foreign_data_wrapper WHERE oid = object;
      WHEN 'pg_foreign_server'::regclass THEN
        SELECT jsonb_build_array(crmbackup.entry('SERVER', class, object, ARRAY[concat(format('CREATE SERVER %I', srvname),
            ' TYPE ' || quote_literal(srvtype), ' VERSION ' || quote_literal(srvversion), ' FOREIGN DATA WRAPPER ' || quote_ident(fdwname),
            ' OPTIONS (' || (SELECT string_agg(format('%I %L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM unnest(srvoptions) o) || ')'),
            format('ALTER SERVER %I OWNER TO %I', srvname, pg_get_userbyid(srvowner))]
            || crmbackup.remarks(class, object) || crmbackup.grants(format('FOREIGN SERVER %I', srvname), srvowner, srvacl)))
          INTO entries FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE s.oid = object;
      ELSE
    END CASE;
  END IF;
  RETURN jsonb_strip_nulls(jsonb_build_object('class', class::bigint, 'oid', object::bigint, 'entries', entries,
    -- An array, a row type: what it is made with, which is what a command names that changes it.
    'on', (SELECT coalesce(jsonb_agg(DISTINCT u.class || ':' || u.object), '[]')
      FROM (SELECT class AS c, object AS o
        UNION SELECT (e ->> 'class')::oid, (e ->> 'oid')::oid FROM jsonb_array_elements(entries) e) x
      JOIN pg_depend d ON d.classid = x.c AND d.objid = x.o,
      LATERAL (SELECT d.refclassid AS class, d.refobjid AS object WHERE d.refclassid <> 'pg_type'::regclass
        UNION ALL SELECT t.class, t.object FROM crmbackup.unit_of(d.refclassid, d.refobjid) t WHERE d.refclassid = 'pg_type'::regclass AND t.class IS NOT NULL) u)));
END $$
