CREATE OR REPLACE FUNCTION crmbackup.remarks(class oid, object oid) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
-- Comments and security labels of an object and its columns.
BEGIN
  RETURN ARRAY(
    SELECT CASE WHEN said.provider IS NULL THEN format('COMMENT ON %s %s IS %L', word, named.identity, said.text)
                ELSE format('SECURITY LABEL FOR %I ON %s %s IS %L', said.provider, word, named.identity, said.text) END
    FROM (SELECT objsubid, description AS text, NULL AS provider FROM pg_description d WHERE d.classoid = class AND d.objoid = object
          UNION ALL SELECT objsubid, label, l.provider FROM pg_seclabel l WHERE l.classoid = class AND l.objoid = object) said,
      LATERAL (SELECT i.type,
          CASE WHEN i.type = 'domain constraint' THEN regexp_replace(i.identity, ' on (?!.* on )', ' ON DOMAIN ')
               WHEN i.type IN ('table constraint', 'trigger', 'policy', 'rule') THEN (
                 SELECT format('%I ON %I.%I', i.address[3], i.address[1], i.address[2]))
               ELSE i.identity END AS identity
        FROM (SELECT o.type, o.identity, (pg_identify_object_as_address(class, object, said.objsubid)).object_names AS address
              FROM pg_identify_object(class, object, said.objsubid) o) i) named,
      LATERAL (SELECT CASE
        WHEN named.type LIKE '% column' THEN 'COLUMN'
        WHEN named.type IN ('table constraint', 'domain constraint') THEN 'CONSTRAINT'
        WHEN named.type = 'composite type' THEN 'TYPE'
        WHEN named.type = 'statistics object' THEN 'STATISTICS'
        ELSE upper(named.type) END AS word) w
    ORDER BY said.provider NULLS FIRST, said.objsubid);
END $$
