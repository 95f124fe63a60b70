CREATE OR REPLACE FUNCTION crmbackup.on_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER /*canonical*/ AS $$
-- An updated or deleted row of a table whose changes PostgreSQL does not let be published, told as the stream would tell it: old and new
-- row whole, without generated columns. Whatever goes wrong in here, the CRM's statement succeeds.
DECLARE
  contents bytea[];
  content bytea;
  columns text;
  old_row text;
  new_row text;
BEGIN
  BEGIN
    SELECT string_agg(format('($1).%I', a.attname), ', ' ORDER BY a.attnum) INTO columns
    FROM pg_attribute a WHERE a.attrelid = TG_RELID AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
    EXECUTE format('SELECT ROW(%s)::text', columns) INTO old_row USING OLD;
    IF TG_OP = 'UPDATE' THEN
      EXECUTE format('SELECT ROW(%s)::text', columns) INTO new_row USING NEW;
    END IF;
    contents := ARRAY[crmbackup.seal(jsonb_strip_nulls(jsonb_build_object(
      'is', 'change', 'oid', TG_RELID::bigint, 'old', old_row, 'new', new_row))::text)];
  EXCEPTION WHEN query_canceled OR assert_failure OR others THEN
    contents := crmbackup.failed_rewrite(TG_RELID, SQLERRM);
  END;
  FOREACH content IN ARRAY contents LOOP
    PERFORM pg_logical_emit_message(true, 'crmbackup', content);
  END LOOP;
  RETURN NULL;
END $$
