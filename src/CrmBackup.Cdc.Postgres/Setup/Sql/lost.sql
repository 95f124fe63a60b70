CREATE OR REPLACE FUNCTION crmbackup.lost() RETURNS TABLE (class oid, object oid)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
-- Tables and types that stay, and lost a column, a constraint or a default to the command.
SELECT d.classid, d.objid FROM pg_event_trigger_dropped_objects() d WHERE d.objsubid > 0
UNION
SELECT 'pg_class'::regclass, c.oid FROM pg_event_trigger_dropped_objects() d
  JOIN pg_namespace n ON n.nspname = d.address_names[1] JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = d.address_names[2]
  WHERE d.object_type IN ('table constraint', 'default value')
UNION
SELECT 'pg_type'::regclass, t.oid FROM pg_event_trigger_dropped_objects() d JOIN pg_type t ON t.oid = to_regtype(d.address_names[1])
  WHERE d.object_type = 'domain constraint'
$$
