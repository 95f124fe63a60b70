CREATE OR REPLACE FUNCTION crmbackup.describe(seen text, classes oid[], objects oid[], spread boolean, renames boolean) RETURNS jsonb[]
LANGUAGE plpgsql /*canonical*/ SET lock_timeout = 50 AS $$
-- Whole definitions of objects that a command touched; (spread) of the partitions and heirs of its tables; and (renames) of what names any of
-- these in its own definition. Parts of about a quarter megabyte. What goes beyond the limits is not described: an error, caught above.
-- (seen) is the snapshot from before anything was read for the message, the tables' images included: what was committed since counts as unseen.
-- Another command may hold a lock on what is read: waited for once, within what source.lockYield lets the CRM wait for us.
DECLARE
  began timestamptz := clock_timestamp();
  unit record;
  defined jsonb;
  units jsonb[] := '{}';
  undescribed text[] := '{}';
  part_size int := 0;
  total_size int := 0;
  parts jsonb[] := '{}';
BEGIN
  FOR unit IN
    WITH RECURSIVE tree AS (
      SELECT u.class, u.object FROM unnest(classes, objects) s (c, o), LATERAL crmbackup.unit_of(s.c, s.o) u WHERE u.class IS NOT NULL
      UNION SELECT 'pg_class'::regclass, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.object WHERE spread AND t.class = 'pg_class'::regclass
    ), named AS (
      SELECT class, object FROM tree WHERE renames
      UNION SELECT x.class, x.object FROM named t, LATERAL (
        SELECT 'pg_type'::regclass::oid AS class, c.reltype AS object FROM pg_class c WHERE t.class = 'pg_class'::regclass AND c.oid = t.object AND c.reltype <> 0
        UNION ALL SELECT 'pg_class'::regclass, y.typrelid FROM pg_type y WHERE t.class = 'pg_type'::regclass AND y.oid = t.object AND y.typrelid <> 0
        UNION ALL SELECT 'pg_type'::regclass, y.typarray FROM pg_type y WHERE t.class = 'pg_type'::regclass AND y.oid = t.object AND y.typarray <> 0
        UNION ALL SELECT 'pg_type'::regclass, r.rngmultitypid FROM pg_range r WHERE t.class = 'pg_type'::regclass AND r.rngtypid = t.object) x
    ), dependent AS (
      SELECT DISTINCT d.classid, d.objid FROM named n JOIN pg_depend d ON d.refclassid = n.class AND d.refobjid = n.object WHERE d.deptype NOT IN ('e', 'x')
    )
    SELECT class, object FROM tree
    UNION SELECT u.class, u.object FROM dependent d, LATERAL crmbackup.unit_of(d.classid, d.objid) u WHERE u.class IS NOT NULL
  LOOP
    -- Default privileges are told all at once.
    CONTINUE WHEN unit.class = 'pg_default_acl'::regclass;
    defined := crmbackup.define(unit.class, unit.object);
    CONTINUE WHEN defined IS NULL;
    IF defined -> 'entries' IS NULL THEN
      undescribed := undescribed || (SELECT i.type || ' ' || i.identity FROM pg_identify_object(unit.class, unit.object, 0) i);
    END IF;
    units := units || defined;
    part_size := part_size + length(defined::text);
    IF part_size > 262144 THEN
      total_size := total_size + part_size;
      IF total_size > 4194304 OR clock_timestamp() - began > interval '1 second' THEN
        RAISE EXCEPTION 'it touches more definitions than are sent with one command';
      END IF;
      parts := parts || jsonb_build_object('seen', seen, 'units', to_jsonb(units));
      units := '{}';
      part_size := 0;
    END IF;
  END LOOP;
  RETURN parts || jsonb_strip_nulls(jsonb_build_object('seen', seen, 'units', to_jsonb(units), 'undescribed', nullif(array_to_string(undescribed[1:5], ', '), '')));
END $$
