namespace CrmBackup.Cdc.EndToEnd.Schema;

/// <summary>DDL of every kind, a transaction each, as a migration runs them: one at once behind the other.</summary>
static class SchemaBurst
{
    public const string Before = """
        CREATE SCHEMA sales; CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
        CREATE TABLE accounts (id serial PRIMARY KEY, name text NOT NULL DEFAULT 'new', mood mood DEFAULT 'ok', size positive);
        CREATE TABLE contacts (id integer PRIMARY KEY, account integer REFERENCES accounts, mail text COLLATE "C", note text);
        CREATE VIEW account_names AS SELECT id, upper(name) AS name, mood FROM accounts;
        CREATE VIEW by_account AS SELECT a.id, a.name, count(*) AS contacts FROM accounts a JOIN contacts c ON c.account = a.id GROUP BY a.id;
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
        CREATE FUNCTION contacts_of(account integer) RETURNS bigint LANGUAGE sql RETURN (SELECT count(*) FROM contacts c WHERE c.account = contacts_of.account);
        CREATE TABLE visits (id integer, at date NOT NULL, what text) PARTITION BY RANGE (at);
        CREATE TABLE visits_2020 PARTITION OF visits FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        CREATE INDEX visits_what ON visits (what); CREATE SEQUENCE numbers; CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM contacts;
        INSERT INTO accounts (name, size) VALUES ('one', 1), ('two', 2); INSERT INTO contacts VALUES (1, 1, 'a@b', 'x'), (2, 2, 'c@d', NULL);
        INSERT INTO visits VALUES (1, '2020-05-05', 'call')
        """;

    /// <param name="major">Of the server: column lists and row filters of publications came with 15.</param>
    public static IReadOnlyList<string> Steps(int major) =>
    [
        "ALTER TABLE accounts ADD city text DEFAULT 'Bern'",
        "ALTER TABLE accounts RENAME name TO title",
        "ALTER TABLE accounts DROP city; ALTER TABLE accounts ADD city integer DEFAULT 3",
        "ALTER TABLE contacts RENAME TO people",
        "ALTER TABLE people RENAME mail TO \"E-Mail\"",
        "ALTER TABLE accounts ALTER city TYPE bigint USING city * 2",
        "CREATE INDEX ON people (lower(\"E-Mail\")) WHERE note IS NOT NULL",
        "ALTER TABLE people ADD CONSTRAINT has_mail CHECK (\"E-Mail\" <> '') NOT VALID",
        "ALTER TABLE people VALIDATE CONSTRAINT has_mail",
        "CREATE TABLE copied AS SELECT id, title FROM accounts",
        "ALTER TABLE copied ADD PRIMARY KEY (id)",
        "DROP TABLE copied; CREATE TABLE copied (id bigint GENERATED ALWAYS AS IDENTITY, again text, UNIQUE (again)); INSERT INTO copied (again) VALUES ('x')",
        "ALTER TABLE copied RENAME TO swapping; ALTER TABLE people RENAME TO copied; ALTER TABLE swapping RENAME TO people",
        "ALTER TABLE copied RENAME TO swapping; ALTER TABLE people RENAME TO copied; ALTER TABLE swapping RENAME TO people",
        "ALTER TYPE mood ADD VALUE 'fine' BEFORE 'ok'",
        "ALTER TYPE mood RENAME TO humour",
        "CREATE TYPE pair AS (x integer, y text); CREATE TABLE pairs (id integer PRIMARY KEY, p pair, many pair[])",
        "ALTER TYPE pair ADD ATTRIBUTE z date",
        "ALTER DOMAIN positive ADD CONSTRAINT small CHECK (VALUE < 1000)",
        "ALTER DOMAIN positive RENAME TO sizes",
        "CREATE TYPE spans AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi)",
        "CREATE TRIGGER touched BEFORE UPDATE ON accounts FOR EACH ROW WHEN (old.title <> new.title) EXECUTE FUNCTION touch()",
        "ALTER TABLE accounts DISABLE TRIGGER touched",
        "ALTER FUNCTION touch() RENAME TO touch_row",
        "ALTER TABLE accounts ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON accounts FOR SELECT USING (title = current_user)",
        "ALTER POLICY own ON accounts USING (title = session_user) ",
        "COMMENT ON TABLE accounts IS 'who pays'; COMMENT ON COLUMN people.note IS 'it''s free'; COMMENT ON POLICY own ON accounts IS 'mine'",
        "GRANT SELECT, UPDATE (note) ON people TO pg_monitor; REVOKE ALL ON accounts FROM PUBLIC",
        "GRANT EXECUTE ON FUNCTION contacts_of(integer) TO pg_monitor; GRANT USAGE ON SCHEMA sales TO pg_monitor; GRANT USAGE ON TYPE pair TO pg_monitor",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO pg_monitor",
        "ALTER TABLE accounts SET SCHEMA sales",
        "ALTER SCHEMA sales RENAME TO crm",
        "CREATE OR REPLACE VIEW account_names AS SELECT id, upper(title) AS name, mood, city FROM crm.accounts",
        "ALTER VIEW account_names RENAME COLUMN name TO label; ALTER VIEW account_names SET (security_barrier = true)",
        "CREATE TABLE visits_2021 (at date NOT NULL, what text, id integer, note text); ALTER TABLE visits_2021 DROP note; "
            + "ALTER TABLE visits ATTACH PARTITION visits_2021 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')",
        "ALTER TABLE visits DETACH PARTITION visits_2020",
        "CREATE TABLE visits_2020a PARTITION OF visits FOR VALUES FROM ('2020-01-01') TO ('2020-07-01'); INSERT INTO visits SELECT * FROM visits_2020; DROP TABLE visits_2020",
        "ALTER TABLE visits ADD PRIMARY KEY (id, at); ALTER TABLE visits RENAME what TO purpose",
        "ALTER INDEX visits_what RENAME TO visits_purpose",
        "CREATE TABLE people_heirs (extra text DEFAULT 'e') INHERITS (people); ALTER TABLE people_heirs ALTER note SET DEFAULT 'inherited'",
        "ALTER TABLE people ADD later text NOT NULL DEFAULT 'l'",
        "ALTER TABLE people_heirs NO INHERIT people",
        "ALTER TABLE people_heirs SET UNLOGGED",
        "ALTER TABLE people_heirs SET LOGGED",
        "CREATE EXTENSION hstore SCHEMA crm; CREATE TABLE tagged (id integer PRIMARY KEY, tags crm.hstore)",
        "DROP EXTENSION hstore CASCADE",
        "ALTER SEQUENCE numbers INCREMENT BY 7 MAXVALUE 7000 CYCLE; ALTER SEQUENCE numbers OWNED BY people.id; ALTER TABLE people ALTER id SET DEFAULT nextval('numbers')",
        "CREATE UNIQUE INDEX totals_n ON totals (n); ALTER MATERIALIZED VIEW totals RENAME TO sums",
        "CREATE PROCEDURE tidy(INOUT n integer) LANGUAGE plpgsql AS $$ BEGIN n := 1; END $$; CREATE AGGREGATE total (integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0')",
        "CREATE OR REPLACE FUNCTION contacts_of(account integer) RETURNS bigint LANGUAGE sql STABLE AS 'SELECT 5::bigint'",
        "CREATE STATISTICS together (dependencies) ON account, note FROM people; ALTER STATISTICS together SET STATISTICS 50",
        "CREATE RULE quiet AS ON DELETE TO tagged DO INSTEAD NOTHING",
        "ALTER TABLE pairs ALTER id TYPE bigint; ALTER TABLE pairs ADD doubled bigint GENERATED ALWAYS AS (id * 2) STORED",
        "ALTER TABLE pairs REPLICA IDENTITY FULL; ALTER TABLE pairs SET (fillfactor = 70); ALTER TABLE pairs ALTER many SET STORAGE EXTERNAL",
        "ALTER TABLE pairs CLUSTER ON pairs_pkey; ALTER TABLE pairs ALTER id SET STATISTICS 5",
        $"CREATE PUBLICATION tpeople_heirs FOR TABLE people{(major < 15 ? "" : " (id, note) WHERE (id > 3)")}, pairs; ALTER PUBLICATION tpeople_heirs DROP TABLE pairs",
        "CREATE CAST (pair AS text) WITH INOUT AS ASSIGNMENT",
        "BEGIN; ALTER TABLE people ADD undone text; SAVEPOINT s; ALTER TABLE people RENAME undone TO done; ROLLBACK TO s; DROP VIEW by_account; COMMIT",
        "BEGIN; ALTER TABLE people ADD never text; ROLLBACK",
        "ALTER TABLE people DROP CONSTRAINT contacts_account_fkey; ALTER TABLE crm.accounts DROP CONSTRAINT accounts_pkey CASCADE",
        "DROP FUNCTION touch_row() CASCADE; DROP TYPE humour CASCADE",
        "DROP SCHEMA crm CASCADE",
    ];
}
