CREATE OR REPLACE FUNCTION crmbackup.value_rule(described oid) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
-- What the text of a type's values is made of, where DDL can change it and leave the rows alone: labels by OID, attributes by number,
-- and what is built of them. Null for all other types. Not in SQL: a function there cannot call itself before it is.
DECLARE
  known record;
  inner_rule jsonb;
BEGIN
  SELECT t.typtype, t.typrelid, t.typbasetype, t.typelem, e.typdelim, t.typoutput = 'array_out'::regproc AS is_array INTO known
  FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem WHERE t.oid = described;
  CASE
    WHEN known.typtype = 'e' THEN
      RETURN jsonb_build_object('is', 'enum', 'labels', (
        SELECT coalesce(jsonb_agg(jsonb_build_object('oid', oid::bigint, 'label', enumlabel) ORDER BY enumsortorder), '[]')
        FROM pg_enum WHERE enumtypid = described));
    WHEN known.typtype = 'c' THEN
      RETURN jsonb_build_object('is', 'composite', 'attributes', (
        SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('attNum', attnum,
            'rule', CASE WHEN atttypid >= 16384 THEN crmbackup.value_rule(atttypid) END)) ORDER BY attnum), '[]')
        FROM pg_attribute WHERE attrelid = known.typrelid AND attnum > 0 AND NOT attisdropped));
    WHEN known.typtype = 'd' THEN
      RETURN crmbackup.value_rule(known.typbasetype);
    WHEN known.typtype = 'r' THEN
      inner_rule := (SELECT crmbackup.value_rule(rngsubtype) FROM pg_range WHERE rngtypid = described);
      RETURN CASE WHEN inner_rule IS NOT NULL THEN jsonb_build_object('is', 'range', 'of', inner_rule) END;
    WHEN known.typtype = 'm' THEN
      inner_rule := (SELECT crmbackup.value_rule(rngsubtype) FROM pg_range WHERE rngmultitypid = described);
      RETURN CASE WHEN inner_rule IS NOT NULL THEN jsonb_build_object('is', 'multirange', 'of', inner_rule) END;
    WHEN known.is_array AND known.typelem >= 16384 THEN
      inner_rule := crmbackup.value_rule(known.typelem);
      RETURN CASE WHEN inner_rule IS NOT NULL THEN jsonb_build_object('is', 'array', 'of', inner_rule, 'delimiter', known.typdelim) END;
    ELSE RETURN NULL;
  END CASE;
END $$
