namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Tables whose columns, keys and types change from day to day, beside the CRM that works on: what is hardest to read back.</summary>
static class Reshaping
{
    public const string Begin = """"
        CREATE TYPE mood AS ENUM ('new', 'won', 'lost');
        CREATE TABLE deals (id bigint PRIMARY KEY, date date, stage mood, amount numeric(12,2), tags text[], extra jsonb, at timestamptz, doc text);
        ALTER TABLE deals ALTER COLUMN doc SET STORAGE EXTERNAL;
        CREATE TABLE lines (deal bigint, product text, count integer, price numeric, PRIMARY KEY (deal, product));
        CREATE TABLE visits (at timestamp, who text, seconds double precision, ip inet, raw bytea);
        CREATE TABLE files (id integer PRIMARY KEY, body text);
        ALTER TABLE files ALTER COLUMN body SET STORAGE EXTERNAL;
        CREATE TABLE "Odd.Name" ("say ""hi""" integer PRIMARY KEY, "Größe" real, flag boolean, span interval, day time);
        INSERT INTO deals SELECT i, '2026-01-01'::date + i, (ARRAY['new','won','lost']::mood[])[1 + i % 3], i * 1.25, ARRAY['a', NULL, 'c"d'],
            jsonb_build_object('n', i, 'é', NULL), '2026-01-01 00:00:00.5+00'::timestamptz + i * interval '1 hour', repeat(md5(i::text), 200)
          FROM generate_series(1, 300) i;
        INSERT INTO lines SELECT i, 'p' || p, i * p, CASE WHEN p = 2 THEN 'NaN' ELSE (i / 7.0)::numeric END FROM generate_series(1, 300) i, generate_series(1, 3) p;
        INSERT INTO visits SELECT '2026-02-01'::timestamp + i % 20 * interval '1 day', 'w' || i % 3, CASE WHEN i % 5 = 0 THEN '-0' ELSE i / 3.0 END, '10.0.0.1', '\x00ff'
          FROM generate_series(1, 200) i;
        INSERT INTO visits VALUES ('infinity', NULL, 'NaN', NULL, NULL), ('infinity', NULL, 'NaN', NULL, NULL);
        INSERT INTO files SELECT i, repeat(md5(i::text), 260) FROM generate_series(1, 2600) i;
        INSERT INTO "Odd.Name" VALUES (1, 'infinity', true, '1 mon 2 days 03:00:00.5', '24:00:00'), (2, 1e-30, NULL, '-1 year', '00:00:00.000001');
        """";

    /// <summary>What happens, day after day; each statement list is one transaction.</summary>
    public static IReadOnlyList<string> Days { get; } =
    [
        """
        UPDATE deals SET amount = amount + 1 WHERE id % 2 = 0; UPDATE deals SET doc = 'short', date = 'infinity' WHERE id = 7; DELETE FROM deals WHERE id % 10 = 3;
        UPDATE deals SET id = id + 1000 WHERE id BETWEEN 20 AND 30; UPDATE lines SET product = 'moved' WHERE product = 'p1' AND deal <= 50;
        UPDATE visits SET seconds = 1 WHERE who = 'w1'; DELETE FROM visits WHERE at = 'infinity' AND ctid = (SELECT max(ctid) FROM visits WHERE at = 'infinity')
        """,
        """
        ALTER TYPE mood RENAME VALUE 'won' TO 'it''s won'; ALTER TABLE deals RENAME COLUMN amount TO value; ALTER TABLE deals ADD COLUMN "date " date DEFAULT '2026-05-05';
        UPDATE deals SET value = value * 2 WHERE id < 100; INSERT INTO deals (id, stage) VALUES (5000, 'it''s won');
        ALTER TABLE visits ADD COLUMN note text; UPDATE visits SET note = 'n' WHERE who = 'w2'
        """,
        """
        ALTER TABLE lines ALTER COLUMN count TYPE bigint; UPDATE lines SET count = 5000000000 WHERE deal = 1; ALTER TABLE deals ALTER COLUMN extra TYPE text;
        SET timezone = 'UTC'; ALTER TABLE visits ALTER COLUMN at TYPE timestamptz; UPDATE visits SET note = 'zoned' WHERE who = 'w0';
        UPDATE deals SET extra = 'no json' WHERE id = 8; UPDATE deals SET tags = '[0:1]={x,y}' WHERE id = 9
        """,
        Rebasing,
        """
        TRUNCATE visits; INSERT INTO visits VALUES ('2026-09-09', 'after', 0.1, '::1', ''); UPDATE deals SET date = '2000-02-29' WHERE id = 7;
        ALTER TABLE deals DROP COLUMN stage; UPDATE files SET id = id + 100000 WHERE id <= 50; DELETE FROM files WHERE id BETWEEN 60 AND 70
        """,
    ];

    /// <summary>Rewrites more than the rewrite limit of 16 MiB, which nobody sends again: a gap, closed by a new base. Gives its transaction's id.</summary>
    public const string Rebasing = """
        ALTER TABLE files ALTER COLUMN id TYPE bigint; UPDATE files SET id = 3000000000 WHERE id = 5;
        ALTER TABLE lines SET UNLOGGED; UPDATE lines SET price = 3 WHERE deal = 2; ALTER TABLE lines SET LOGGED;
        SELECT pg_current_xact_id()::text
        """;
}
