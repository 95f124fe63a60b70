CREATE OR REPLACE FUNCTION crmbackup.touched(classid oid, objid oid, command text)
RETURNS TABLE (relation oid, by_type boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
-- The tables whose image may differ after a command on one object: itself, its table, its partitions and children, the tables
-- of its schema; and (by_type) the tables that hold values of a type that it changed, however deeply.
WITH RECURSIVE direct AS (
  SELECT objid AS oid WHERE classid = 'pg_class'::regclass
  UNION SELECT indrelid FROM pg_index WHERE classid = 'pg_class'::regclass AND indexrelid = objid
  UNION SELECT c.oid FROM pg_class c
    WHERE classid = 'pg_namespace'::regclass AND command = 'ALTER SCHEMA' AND c.relnamespace = objid AND c.relkind IN ('r', 'p')
), tree AS (
  SELECT oid FROM direct
  UNION SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
), used AS (
  -- What depends on what: a column on its type, an array, domain or range on the type beneath, a row type on its relation.
  SELECT 'pg_type'::regclass::oid AS class, objid AS oid WHERE classid = 'pg_type'::regclass AND command LIKE 'ALTER %'
  UNION SELECT 'pg_type'::regclass, c.reltype FROM pg_class c JOIN tree t ON t.oid = c.oid
    WHERE c.reltype <> 0 AND command IN ('ALTER TYPE', 'ALTER TABLE')
  UNION SELECT d.class, d.oid FROM used u CROSS JOIN LATERAL (
    SELECT CASE WHEN c.relkind = 'c' THEN 'pg_type'::regclass ELSE p.classid END AS class,
           CASE WHEN c.relkind = 'c' THEN c.reltype ELSE p.objid END AS oid
    FROM pg_depend p LEFT JOIN pg_class c ON p.classid = 'pg_class'::regclass AND c.oid = p.objid
    WHERE u.class = 'pg_type'::regclass AND p.refclassid = 'pg_type'::regclass AND p.refobjid = u.oid
      AND (p.classid = 'pg_type'::regclass OR c.relkind IN ('r', 'p', 'c'))) d
)
SELECT t.oid, false FROM tree t JOIN pg_class c ON c.oid = t.oid WHERE c.relkind IN ('r', 'p')
UNION
SELECT u.oid, true FROM used u JOIN pg_class c ON c.oid = u.oid
WHERE u.class = 'pg_class'::regclass AND c.relkind IN ('r', 'p') AND u.oid NOT IN (SELECT oid FROM tree)
$$
