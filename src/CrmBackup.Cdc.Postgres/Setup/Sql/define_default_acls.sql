CREATE OR REPLACE FUNCTION crmbackup.define_default_acls() RETURNS jsonb
LANGUAGE plpgsql STABLE AS $$
-- All default privileges: a command on them does not say which it changed, or took away.
BEGIN
  RETURN coalesce((SELECT jsonb_agg(jsonb_build_object('class', 'pg_default_acl'::regclass::oid::bigint, 'oid', d.oid::bigint, 'on', '[]'::jsonb, 'entries', jsonb_build_array(
      crmbackup.entry('DEFAULT ACL', 'pg_default_acl'::regclass, d.oid, ARRAY(
        SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s %s', pg_get_userbyid(d.defaclrole), ' IN SCHEMA ' || quote_ident(n.nspname), what.statement)
        FROM (
          SELECT 0 AS place, format('REVOKE ALL ON %s FROM PUBLIC', x.word) AS statement WHERE d.defaclnamespace = 0
          UNION ALL SELECT 0, format('REVOKE ALL ON %s FROM %I', x.word, pg_get_userbyid(d.defaclrole)) WHERE d.defaclnamespace = 0
          UNION ALL SELECT 1, format('GRANT %s ON %s TO %s%s', string_agg(a.privilege_type, ', '), x.word,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
          FROM aclexplode(d.defaclacl) a GROUP BY a.grantee, a.is_grantable) what ORDER BY what.place), post => true))))
    FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace, LATERAL (SELECT CASE d.defaclobjtype
      WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END AS word) x), '[]');
END $$
