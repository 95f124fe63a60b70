using CrmBackup.Cdc.Core;
using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

/// <summary>What transactions do and what stands beside the stream: keys of every kind, values out of line, savepoints, prepared
/// transactions, sequences, partitions, views, triggers, constraints that hold no more.</summary>
[Collection("postgres")]
public sealed class HappeningTests(PostgresFixture postgres, ITestOutputHelper output)
{
    const string Keys = """
        CREATE TABLE accounts (id bigserial PRIMARY KEY, name text, doc text, more text); ALTER TABLE accounts ALTER doc SET STORAGE EXTERNAL, ALTER more SET STORAGE EXTERNAL;
        CREATE TABLE full_id (id integer PRIMARY KEY, doc text, n integer); ALTER TABLE full_id REPLICA IDENTITY FULL; ALTER TABLE full_id ALTER doc SET STORAGE EXTERNAL;
        CREATE TABLE by_index (a integer NOT NULL, b text NOT NULL, doc text, n integer); CREATE UNIQUE INDEX by_index_ab ON by_index (b, a) INCLUDE (n);
        ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_ab; ALTER TABLE by_index ALTER doc SET STORAGE EXTERNAL;
        CREATE TABLE by_nothing (a integer, doc text); ALTER TABLE by_nothing REPLICA IDENTITY NOTHING;
        CREATE TABLE loses_index (a integer NOT NULL, doc text, n integer); CREATE UNIQUE INDEX loses_index_a ON loses_index (a);
        ALTER TABLE loses_index REPLICA IDENTITY USING INDEX loses_index_a; ALTER TABLE loses_index ALTER doc SET STORAGE EXTERNAL;
        CREATE TABLE swaps (id integer PRIMARY KEY, v text, doc text); ALTER TABLE swaps ALTER doc SET STORAGE EXTERNAL;
        CREATE TABLE swaps_late (id integer PRIMARY KEY DEFERRABLE, v text);
        CREATE TABLE composite (day date, who text COLLATE "C", n numeric, doc text, PRIMARY KEY (who, n, day)); ALTER TABLE composite ALTER doc SET STORAGE EXTERNAL;
        CREATE TABLE unequal (j json, x xml, p point, q polygon, doc text); ALTER TABLE unequal ALTER doc SET STORAGE EXTERNAL;
        """;

    static string Fill(int first) => $$"""
        INSERT INTO accounts (name, doc, more) SELECT 'a' || i, repeat(md5(i::text), 150), CASE WHEN i % 2 = 0 THEN repeat(md5(i::text), 200) END FROM generate_series({{first}}, {{first}} + 19) i;
        INSERT INTO full_id SELECT i, repeat(md5(i::text), 150), 0 FROM generate_series({{first}}, {{first}} + 9) i;
        INSERT INTO by_index SELECT i, 'b' || i % 3, repeat(md5(i::text), 150), 0 FROM generate_series({{first}}, {{first}} + 9) i;
        INSERT INTO by_nothing SELECT i % 3, repeat('n', 3000) FROM generate_series({{first}}, {{first}} + 9) i;
        INSERT INTO loses_index SELECT i, repeat(md5(i::text), 150), 0 FROM generate_series({{first}}, {{first}} + 9) i;
        INSERT INTO swaps SELECT i, 'v' || i, repeat(md5(i::text), 150) FROM generate_series({{first}}, {{first}} + 9) i;
        INSERT INTO swaps_late SELECT i, 'v' || i FROM generate_series({{first}}, {{first}} + 9) i;
        INSERT INTO composite SELECT '2024-02-29'::date + i, 'w' || i % 2, i + 0.0, repeat(md5(i::text), 150) FROM generate_series({{first}}, {{first}} + 9) i;
        INSERT INTO unequal SELECT '{ "a" :1}', '<a/>', '(1,-0)', NULL, repeat('u', 3000) FROM generate_series(1, 3);
        INSERT INTO unequal VALUES ('{"a":1}', NULL, NULL, '((0,0))', NULL), (NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL);
        """;

    [Fact]
    public async Task Keys_and_values_out_of_line_and_transactions_of_every_kind_come_back()
    {
        await using var story = await Story.BeginAsync(postgres.Server, output, Keys, Fill(0));
        await story.ThenAsync(Fill(100));
        // Nobody touches what stands out of line, but the keys move.
        await story.ThenAsync(
            "UPDATE accounts SET name = name || '!'; UPDATE accounts SET id = id + 1000 WHERE id % 3 = 0; UPDATE full_id SET n = n + 1, id = id + 1000 WHERE id % 2 = 0",
            "UPDATE by_index SET n = n + 1; UPDATE by_index SET a = a + 1000 WHERE a % 4 = 0; UPDATE composite SET n = n + 0.00; UPDATE composite SET day = day + 1, who = 'moved' WHERE n < 5",
            "BEGIN; UPDATE accounts SET more = NULL WHERE id < 10; UPDATE accounts SET doc = repeat('x', 9000) WHERE id = 5; UPDATE accounts SET name = 'again' WHERE id < 10; "
                + "UPDATE accounts SET id = -id WHERE id < 10; UPDATE accounts SET name = 'thrice' WHERE id < 0; COMMIT",
            "UPDATE unequal SET p = '(2,2)' WHERE ctid IN (SELECT ctid FROM unequal WHERE doc IS NOT NULL LIMIT 2); DELETE FROM unequal WHERE ctid IN (SELECT ctid FROM unequal WHERE doc IS NULL AND j IS NULL LIMIT 1)",
            "UPDATE by_nothing SET a = 9 WHERE a = 1; DELETE FROM by_nothing WHERE ctid IN (SELECT ctid FROM by_nothing WHERE a = 2 LIMIT 2)");
        // Keys change places within a transaction, late and by way of a free key; a row takes the key of one that goes.
        await story.ThenAsync(
            "UPDATE swaps SET id = -1 WHERE id = 1; UPDATE swaps SET id = 1 WHERE id = 2; UPDATE swaps SET id = 2 WHERE id = -1; UPDATE swaps SET v = 'swapped' WHERE id IN (1, 2)",
            "BEGIN; SET CONSTRAINTS ALL DEFERRED; UPDATE swaps_late SET id = 9 - id WHERE id < 10; UPDATE swaps_late SET v = v || '!'; COMMIT",
            "DELETE FROM swaps WHERE id = 3; UPDATE swaps SET id = 3 WHERE id = 4; INSERT INTO swaps VALUES (4, 'new', 'short'); DELETE FROM swaps WHERE id = 3; INSERT INTO swaps VALUES (3, 'newer', NULL)");
        await story.ThenAsync("DROP INDEX loses_index_a", "UPDATE loses_index SET n = n + 1 WHERE a % 2 = 0; INSERT INTO loses_index SELECT * FROM loses_index WHERE a < 3; DELETE FROM loses_index WHERE a = 4");
        // Savepoints; several rows under one LSN; thousands of transactions that did nothing.
        await story.ThenAsync("""
            BEGIN; INSERT INTO swaps VALUES (500, 'kept', NULL); SAVEPOINT a; INSERT INTO swaps VALUES (501, 'gone', NULL); SAVEPOINT b; DELETE FROM swaps; ROLLBACK TO a;
            UPDATE swaps SET v = 'kept too' WHERE id = 500; SAVEPOINT c; INSERT INTO swaps VALUES (502, 'released', NULL); RELEASE c; ROLLBACK TO a; INSERT INTO swaps VALUES (503, 'last', NULL); COMMIT
            """, "BEGIN; INSERT INTO swaps VALUES (504, 'never', NULL); TRUNCATE accounts; ROLLBACK",
            "DO $$ BEGIN FOR i IN 1..2000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$",
            "DO $$ BEGIN FOR i IN 1..200 LOOP BEGIN INSERT INTO full_id VALUES (2000 + i, 'sub', i); IF i % 2 = 0 THEN RAISE division_by_zero; END IF; EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$");
        await CopyAsync(story.Crm.Source);
        // Two that commit in the other order.
        await using (var first = await OpenAsync(story.Crm.Source))
        await using (var second = await OpenAsync(story.Crm.Source))
        {
            await SourceDatabase.ExecuteAsync(first, "BEGIN; UPDATE full_id SET n = 77 WHERE id = 1; INSERT INTO swaps VALUES (600, 'first', NULL)");
            await SourceDatabase.ExecuteAsync(second, "BEGIN; UPDATE full_id SET n = 78 WHERE id = 3; INSERT INTO swaps VALUES (601, 'second', NULL)");
            await SourceDatabase.ExecuteAsync(first, "UPDATE full_id SET n = n + 1 WHERE id = 1; INSERT INTO swaps SELECT 10000 + i, 'many', NULL FROM generate_series(1, 500) i");
            await SourceDatabase.ExecuteAsync(second, "INSERT INTO swaps SELECT 20000 + i, 'many', NULL FROM generate_series(1, 500) i; COMMIT");
            await story.RecordAsync();
            await SourceDatabase.ExecuteAsync(first, "COMMIT");
        }
        await story.RecordAsync();
        var gid = story.Crm.Database;
        await story.ThenAsync($"BEGIN; UPDATE swaps SET v = 'prepared' WHERE id = 600; PREPARE TRANSACTION '{gid}_a'", $"BEGIN; DELETE FROM swaps WHERE id = 601; PREPARE TRANSACTION '{gid}_b'");
        await story.ThenAsync($"COMMIT PREPARED '{gid}_a'", $"ROLLBACK PREPARED '{gid}_b'");
        await story.MustComeBackAsync();
    }

    const string Beside = """
        CREATE TABLE ids (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at integer, twice integer GENERATED ALWAYS AS (at * 2) STORED);
        CREATE SEQUENCE alone INCREMENT -3 MAXVALUE 100; CREATE SEQUENCE round MAXVALUE 5 CYCLE; CREATE SEQUENCE small AS smallint START 7;
        CREATE UNLOGGED TABLE scratch (id integer); INSERT INTO scratch VALUES (1);
        CREATE MATERIALIZED VIEW z_below AS SELECT id, at FROM ids; CREATE MATERIALIZED VIEW a_above AS SELECT count(*) AS n, sum(at) AS s FROM z_below; CREATE INDEX ON a_above (n);
        CREATE MATERIALIZED VIEW m_empty AS SELECT 1 AS one WITH NO DATA;
        CREATE TABLE measured (at date, region text, v integer) PARTITION BY LIST (region);
        CREATE TABLE measured_n PARTITION OF measured FOR VALUES IN ('n') PARTITION BY RANGE (at); CREATE TABLE measured_s PARTITION OF measured FOR VALUES IN ('s'); CREATE TABLE measured_rest PARTITION OF measured DEFAULT;
        CREATE TABLE measured_n1 PARTITION OF measured_n FOR VALUES FROM (MINVALUE) TO ('2026-01-01'); CREATE TABLE measured_n2 PARTITION OF measured_n FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
        CREATE TABLE parent (id integer PRIMARY KEY, v text); CREATE TABLE child (extra text) INHERITS (parent);
        CREATE TABLE up (id serial PRIMARY KEY, v text); CREATE TABLE down (id serial PRIMARY KEY, up integer REFERENCES up); CREATE TABLE loop_a (id integer PRIMARY KEY, b integer);
        CREATE TABLE loop_b (id integer PRIMARY KEY, a integer REFERENCES loop_a); ALTER TABLE loop_a ADD FOREIGN KEY (b) REFERENCES loop_b DEFERRABLE INITIALLY DEFERRED;
        CREATE TABLE secret (id integer PRIMARY KEY, who text); ALTER TABLE secret ENABLE ROW LEVEL SECURITY; ALTER TABLE secret FORCE ROW LEVEL SECURITY; CREATE POLICY own ON secret USING (who = current_user);
        CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := 'spoilt'; RETURN NEW; END $$;
        CREATE TABLE watched (id integer PRIMARY KEY, v text); CREATE TRIGGER always BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION spoil(); ALTER TABLE watched ENABLE ALWAYS TRIGGER always;
        CREATE TABLE watched_too (id integer PRIMARY KEY, v text); CREATE TRIGGER replica BEFORE INSERT ON watched_too FOR EACH ROW EXECUTE FUNCTION spoil(); ALTER TABLE watched_too ENABLE REPLICA TRIGGER replica;
        CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF current_setting('crm.may', true) IS DISTINCT FROM 'yes' THEN RAISE 'no DDL here'; END IF; END $$;
        CREATE TABLE invalid (id integer PRIMARY KEY, v integer, up integer); INSERT INTO invalid VALUES (1, -1, 99); ALTER TABLE invalid ADD CONSTRAINT positive CHECK (v > 0) NOT VALID, ADD FOREIGN KEY (up) REFERENCES up NOT VALID;
        CREATE FUNCTION limit_of() RETURNS integer LANGUAGE sql STABLE AS 'SELECT 100'; CREATE TABLE no_more (id integer PRIMARY KEY, v integer CONSTRAINT below CHECK (v < limit_of()), w integer);
        CREATE PUBLICATION crm_feed FOR TABLE up; CREATE SUBSCRIPTION {0} CONNECTION 'host=127.0.0.1 port=1 dbname=nowhere' PUBLICATION other WITH (connect = false, slot_name = NONE);
        CREATE TABLE points_at (id integer PRIMARY KEY, what regclass);
        SELECT lo_create(4711);
        """;

    static string Happens(int first) => $$"""
        INSERT INTO ids (at) SELECT i FROM generate_series({{first}}, {{first}} + 9) i; INSERT INTO ids (id, at) OVERRIDING SYSTEM VALUE VALUES (1000 + {{first}}, 5);
        SELECT nextval('alone'), nextval('round'), nextval('small');
        INSERT INTO measured SELECT '2025-12-25'::date + i, (ARRAY['n', 's', 'w', NULL])[1 + i % 4], i FROM generate_series({{first}}, {{first}} + 19) i;
        INSERT INTO parent SELECT i, 'p' FROM generate_series({{first}}, {{first}} + 4) i; INSERT INTO child SELECT i, 'c', 'x' FROM generate_series({{first}}, {{first}} + 4) i;
        INSERT INTO up (v) VALUES ('u'), ('u'); INSERT INTO down (up) SELECT max(id) FROM up; INSERT INTO loop_a VALUES ({{first}}, {{first}}); INSERT INTO loop_b VALUES ({{first}}, {{first}});
        INSERT INTO secret SELECT i, CASE WHEN i % 2 = 0 THEN 'somebody' ELSE current_user END FROM generate_series({{first}}, {{first}} + 5) i;
        INSERT INTO watched SELECT i, 'v' FROM generate_series({{first}}, {{first}} + 4) i; UPDATE watched SET v = 'true' WHERE id % 2 = 0; INSERT INTO watched_too SELECT i, 'true' FROM generate_series({{first}}, {{first}} + 4) i;
        INSERT INTO no_more SELECT i, i * 17 % 90, 0 FROM generate_series({{first}}, {{first}} + 4) i;
        """;

    [Fact]
    public async Task What_stands_beside_the_stream_comes_back_or_is_said_not_to()
    {
        var subscription = $"crm_sub_{Guid.NewGuid().ToString("n")[..8]}";
        await using var story = await Story.BeginAsync(postgres.Server, output, Beside.Replace("{0}", subscription, StringComparison.Ordinal), Happens(0));
        await story.ThenAsync(Happens(100), "SELECT setval('alone', -50); SELECT nextval('round') FROM generate_series(1, 7); REFRESH MATERIALIZED VIEW z_below; REFRESH MATERIALIZED VIEW a_above");
        await story.ThenAsync("UPDATE measured SET region = CASE region WHEN 'n' THEN 's' WHEN 's' THEN 'new' ELSE 'n' END, at = at + 10 WHERE v % 2 = 0; DELETE FROM measured WHERE v % 7 = 0",
            "UPDATE parent SET v = 'moved' WHERE id % 2 = 0; DELETE FROM ONLY parent WHERE id = 1; UPDATE ids SET at = at + 1 WHERE id % 2 = 0; UPDATE secret SET who = 'x' WHERE id = 3; INSERT INTO scratch VALUES (2)");
        await story.ThenAsync("TRUNCATE up RESTART IDENTITY CASCADE", "INSERT INTO up (v) VALUES ('again')");
        await story.ThenAsync("SET crm.may = 'yes'; CREATE EVENT TRIGGER crm_forbids ON ddl_command_start EXECUTE FUNCTION forbid()",
            "SET crm.may = 'yes'; ALTER TABLE measured DETACH PARTITION measured_s", "SET crm.may = 'yes'; CREATE TABLE measured_e PARTITION OF measured FOR VALUES IN ('e'); INSERT INTO measured VALUES ('2026-05-05', 'e', 1)",
            "SET crm.may = 'yes'; CREATE OR REPLACE FUNCTION limit_of() RETURNS integer LANGUAGE sql STABLE AS 'SELECT 50'",
            // The index is there only after the rows are.
            "SET crm.may = 'yes'; CREATE INDEX named_here ON up (v); INSERT INTO points_at VALUES (1, 'named_here'), (2, 'up')", Happens(200).Replace("17 % 90", "17 % 40", StringComparison.Ordinal));
        await story.Crm.ProtectingAsync();
        await story.RecordAsync();
        var last = 4;
        await story.MustComeBackAsync(async (number, database, report) =>
        {
            Assert.Equal("3|0", await AskAsync(database, "SELECT count(*) || '|' || (SELECT count(*) FROM scratch) FROM pg_matviews WHERE matviewname IN ('z_below', 'a_above', 'm_empty')"));
            Assert.Equal(await AskAsync(database, "SELECT count(*) || '|' || sum(at) FROM ids"), await AskAsync(database, "SELECT n || '|' || s FROM a_above"));
            Assert.Equal("f", await AskAsync(database, "SELECT left(bool_or(at * 2 IS DISTINCT FROM twice)::text, 1) FROM ids"));
            Assert.Equal("A|R", await AskAsync(database, "SELECT string_agg(tgenabled::text, '|' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal AND tgname IN ('always', 'replica')"));
            Assert.Equal("false|false", await AskAsync(database, "SELECT string_agg(convalidated::text, '|') FROM pg_constraint WHERE conrelid = 'invalid'::regclass AND contype IN ('c', 'f')"));
            Assert.Equal("false|1", await AskAsync(database,
                $"SELECT (SELECT subenabled::text FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())) || '|' || (SELECT count(*) FROM pg_publication_tables WHERE pubname = 'crm_feed')"));
            foreach (var said in new[] { "unlogged", "large objects", "sequences" })
                Assert.Contains(report.Fidelity, line => line.What.Contains(said, StringComparison.Ordinal) && line.Fidelity != Fidelity.Exact);
            if (number < last)
                return;
            // What its own rows contradict is there, not validated, and said; what names something that comes later is text. In a schema of
            // another moment (a dump that DDL overtook) it may be that schema that is wrong: then it is a note.
            var another = report.Fidelity.Any(line => line.What == "schema" && line.Fidelity != Fidelity.Exact);
            Assert.Contains(another ? report.Notes : report.Violations.Select(violation => violation.Statement), said => said.Contains("below", StringComparison.Ordinal));
            Assert.Equal("false", await AskAsync(database, "SELECT convalidated::text FROM pg_constraint WHERE conname = 'below'"));
        });
    }

    static async Task CopyAsync(string source)
    {
        await using var connection = await OpenAsync(source);
        await using var copy = await connection.BeginTextImportAsync("COPY swaps (id, v) FROM STDIN");
        for (var i = 0; i < 3000; i++)
            await copy.WriteAsync($"{30000 + i}\tcopied\n");
    }

    static async Task<NpgsqlConnection> OpenAsync(string source)
    {
        var connection = new NpgsqlConnection(source + ";Pooling=false");
        await connection.OpenAsync();
        return connection;
    }

    static async Task<string?> AskAsync(string database, string sql)
    {
        await using var connection = await OpenAsync(database);
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync() as string;
    }
}
