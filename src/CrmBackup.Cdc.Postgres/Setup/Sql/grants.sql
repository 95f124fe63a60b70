CREATE OR REPLACE FUNCTION crmbackup.grants(what text, owner oid, acl aclitem[], columns text DEFAULT NULL) RETURNS text[]
LANGUAGE plpgsql STABLE AS $$
-- The statements that give a new object its privileges; none when it has those that every object begins with.
DECLARE
  item record;
  grantor name := pg_get_userbyid(owner);
  statements text[] := '{}';
BEGIN
  IF acl IS NULL THEN RETURN statements; END IF;
  IF columns IS NULL THEN
    statements := ARRAY[format('REVOKE ALL ON %s FROM PUBLIC', what), format('REVOKE ALL ON %s FROM %I', what, grantor)];
  END IF;
  FOR item IN
    SELECT a.grantor, a.grantee, a.is_grantable, string_agg(a.privilege_type || coalesce(' (' || columns || ')', ''), ', ') AS privileges
    FROM aclexplode(acl) WITH ORDINALITY a (grantor, grantee, privilege_type, is_grantable, place)
    GROUP BY 1, 2, 3 ORDER BY a.grantor <> owner, min(a.place)
  LOOP
    IF item.grantor <> owner THEN
      statements := statements || format('SET SESSION AUTHORIZATION %I', pg_get_userbyid(item.grantor));
    END IF;
    statements := statements || format('GRANT %s ON %s TO %s%s', item.privileges, what,
      CASE item.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(item.grantee)) END,
      CASE WHEN item.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    IF item.grantor <> owner THEN
      statements := statements || 'RESET SESSION AUTHORIZATION'::text;
    END IF;
  END LOOP;
  RETURN statements;
END $$
