CREATE OR REPLACE FUNCTION crmbackup.unit_of(INOUT class oid, INOUT object oid)
LANGUAGE plpgsql STABLE AS $$
-- The object that is described whole: a constraint, index, trigger, rule or policy is part of its table; NULL for what is part of nothing.
DECLARE
  part oid := object;
  kind "char";
  above record;
BEGIN
  CASE class
    WHEN 'pg_class'::regclass THEN
      SELECT c.relkind, c.reltype INTO above FROM pg_class c WHERE c.oid = part;
      kind := above.relkind;
      IF kind IN ('i', 'I') THEN
        SELECT i.indrelid INTO object FROM pg_index i WHERE i.indexrelid = part;
      ELSIF kind = 'c' THEN
        class := 'pg_type'::regclass;
        object := above.reltype;
      ELSIF kind = 'S' THEN
        SELECT coalesce((SELECT d.refobjid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = part AND d.objsubid = 0
          AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype = 'i'), part) INTO object;
      ELSIF kind IS NULL OR kind NOT IN ('r', 'p', 'v', 'm', 'f') THEN
        object := NULL;
      END IF;
    WHEN 'pg_type'::regclass THEN
      -- An array is made with its element, a multirange with its range, a row type with its table.
      LOOP
        SELECT t.typrelid, t.typtype, (SELECT e.oid FROM pg_type e WHERE e.typarray = t.oid AND t.typelem = e.oid) AS element,
          (SELECT r.rngtypid FROM pg_range r WHERE t.typtype = 'm' AND r.rngmultitypid = t.oid) AS range,
          (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) AS relkind
          INTO above FROM pg_type t WHERE t.oid = object;
        object := CASE WHEN FOUND THEN object END;
        EXIT WHEN coalesce(above.element, above.range) IS NULL OR object IS NULL;
        object := coalesce(above.element, above.range);
      END LOOP;
      IF object IS NOT NULL AND above.typrelid <> 0 AND above.relkind <> 'c' THEN
        class := 'pg_class'::regclass;
        object := CASE WHEN above.relkind IN ('r', 'p', 'v', 'm', 'f') THEN above.typrelid END;
      END IF;
    WHEN 'pg_attrdef'::regclass THEN
      class := 'pg_class'::regclass;
      SELECT d.adrelid INTO object FROM pg_attrdef d WHERE d.oid = part;
    WHEN 'pg_constraint'::regclass THEN
      SELECT CASE WHEN c.conrelid <> 0 THEN 'pg_class'::regclass ELSE 'pg_type'::regclass END, CASE WHEN c.conrelid <> 0 THEN c.conrelid ELSE c.contypid END
        INTO class, object FROM pg_constraint c WHERE c.oid = part;
    WHEN 'pg_trigger'::regclass THEN
      class := 'pg_class'::regclass;
      SELECT t.tgrelid INTO object FROM pg_trigger t WHERE t.oid = part;
    WHEN 'pg_rewrite'::regclass THEN
      class := 'pg_class'::regclass;
      SELECT r.ev_class INTO object FROM pg_rewrite r WHERE r.oid = part;
    WHEN 'pg_policy'::regclass THEN
      class := 'pg_class'::regclass;
      SELECT p.polrelid INTO object FROM pg_policy p WHERE p.oid = part;
    WHEN 'pg_statistic_ext'::regclass THEN
      class := 'pg_class'::regclass;
      SELECT s.stxrelid INTO object FROM pg_statistic_ext s WHERE s.oid = part;
    WHEN 'pg_publication_rel'::regclass THEN
      class := 'pg_publication'::regclass;
      SELECT r.prpubid INTO object FROM pg_publication_rel r WHERE r.oid = part;
    ELSE
      IF class::regclass::text = 'pg_publication_namespace' THEN
        class := 'pg_publication'::regclass;
        EXECUTE 'SELECT pnpubid FROM pg_publication_namespace WHERE oid = $1' INTO object USING part;
      ELSE
        -- Made with another object, as a range's constructors are.
        SELECT d.refclassid, d.refobjid INTO above FROM pg_depend d WHERE d.classid = class AND d.objid = part AND d.deptype = 'i' LIMIT 1;
        IF FOUND THEN
          SELECT u.class, u.object INTO class, object FROM crmbackup.unit_of(above.refclassid, above.refobjid) u;
        END IF;
      END IF;
  END CASE;
  IF object IS NULL THEN class := NULL; END IF;
END $$
