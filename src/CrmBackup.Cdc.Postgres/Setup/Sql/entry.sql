CREATE OR REPLACE FUNCTION crmbackup.entry(kind text, class oid, object oid, statements text[], post boolean DEFAULT false,
  name text[] DEFAULT NULL, tablespace text DEFAULT NULL) RETURNS jsonb
LANGUAGE sql IMMUTABLE AS $$
-- One object of a definition: what makes it and what is said of it, before or (post) after the rows.
SELECT jsonb_strip_nulls(jsonb_build_object('kind', kind, 'class', class::bigint, 'oid', object::bigint, 'post', nullif(post, false),
  'name', name, 'tablespace', tablespace, 'sql', to_jsonb(array_remove(statements, NULL))))
$$
