CREATE OR REPLACE FUNCTION crmbackup.define_function(function oid) RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
-- Function, procedure or aggregate.
DECLARE
  f record;
  statement text;
BEGIN
  SELECT p.prokind, p.proowner, p.proacl, p.proparallel, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END AS word,
      format('%I.%I', n.nspname, p.proname) AS name, coalesce(nullif(pg_get_function_identity_arguments(p.oid), ''), CASE p.prokind WHEN 'a' THEN '*' ELSE '' END) AS arguments
    INTO f FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = function;
  IF NOT FOUND THEN RETURN NULL; END IF;
  IF f.prokind <> 'a' THEN
    statement := pg_get_functiondef(function);
  ELSE
    SELECT format('CREATE AGGREGATE %s(%s) (%s)', f.name, f.arguments, (
      SELECT string_agg(coalesce(word || ' = ' || value, word), ', ' ORDER BY place) FROM (VALUES
        (1, 'SFUNC', a.aggtransfn::text), (2, 'STYPE', format_type(a.aggtranstype, NULL)), (3, 'SSPACE', nullif(a.aggtransspace, 0)::text),
        (4, 'FINALFUNC', nullif(a.aggfinalfn::oid, 0)::regproc::text), (5, CASE WHEN a.aggfinalextra THEN 'FINALFUNC_EXTRA' END, NULL),
        (6, 'FINALFUNC_MODIFY', CASE WHEN a.aggfinalmodify <> CASE a.aggkind WHEN 'n' THEN 'r' ELSE 'w' END THEN
          CASE a.aggfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END END),
        (7, 'COMBINEFUNC', nullif(a.aggcombinefn::oid, 0)::regproc::text), (8, 'SERIALFUNC', nullif(a.aggserialfn::oid, 0)::regproc::text),
        (9, 'DESERIALFUNC', nullif(a.aggdeserialfn::oid, 0)::regproc::text), (10, 'INITCOND', quote_literal(a.agginitval)),
        (11, 'MSFUNC', nullif(a.aggmtransfn::oid, 0)::regproc::text), (12, 'MINVFUNC', nullif(a.aggminvtransfn::oid, 0)::regproc::text),
        (13, 'MSTYPE', CASE WHEN a.aggmtranstype <> 0 THEN format_type(a.aggmtranstype, NULL) END), (14, 'MSSPACE', nullif(a.aggmtransspace, 0)::text),
        (15, 'MFINALFUNC', nullif(a.aggmfinalfn::oid, 0)::regproc::text), (16, CASE WHEN a.aggmfinalextra THEN 'MFINALFUNC_EXTRA' END, NULL),
        (17, 'MFINALFUNC_MODIFY', CASE WHEN a.aggmtransfn::oid <> 0 AND a.aggmfinalmodify <> CASE a.aggkind WHEN 'n' THEN 'r' ELSE 'w' END THEN
          CASE a.aggmfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END END),
        (18, 'MINITCOND', quote_literal(a.aggminitval)),
        (19, 'SORTOP', (SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid = a.aggsortop)),
        (20, 'PARALLEL', CASE f.proparallel WHEN 's' THEN 'SAFE' WHEN 'r' THEN 'RESTRICTED' END), (21, CASE a.aggkind WHEN 'h' THEN 'HYPOTHETICAL' END, NULL)
      ) v (place, word, value) WHERE word IS NOT NULL AND (value IS NOT NULL OR word IN ('FINALFUNC_EXTRA', 'MFINALFUNC_EXTRA', 'HYPOTHETICAL'))))
      INTO statement FROM pg_aggregate a WHERE a.aggfnoid = function;
  END IF;
  RETURN jsonb_build_array(crmbackup.entry(f.word, 'pg_proc'::regclass, function,
    ARRAY[statement, format('ALTER %s %s(%s) OWNER TO %I', f.word, f.name, f.arguments, pg_get_userbyid(f.proowner))]
    || crmbackup.remarks('pg_proc'::regclass, function)
    || crmbackup.grants(format('%s %s(%s)', CASE f.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, f.name, pg_get_function_identity_arguments(function)), f.proowner, f.proacl)));
END $$
