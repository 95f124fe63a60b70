using CrmBackup.Cdc.Postgres;
using Npgsql;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What the event triggers put into the stream, and that they never harm the command they hang on.</summary>
[Collection("postgres")]
public sealed class DdlCaptureTests(PostgresFixture postgres)
{
    [Theory]
    [InlineData("DDL and rows of one transaction come in their order", "",
        "BEGIN; CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1); ALTER TABLE t ADD b text DEFAULT 'x'; INSERT INTO t VALUES (2, 'y'); COMMIT",
        "ddl CREATE TABLE t:key[a integer] created=t", "insert t (1)", "ddl ALTER TABLE t:key[a integer, b text]", "insert t (2,y)", ";")]
    [InlineData("what a savepoint rolls back is not said", "CREATE TABLE t (a int PRIMARY KEY)",
        "BEGIN; SAVEPOINT s; ALTER TABLE t ADD gone int; INSERT INTO t VALUES (1, 1); ROLLBACK TO s; ALTER TABLE t ADD b int; INSERT INTO t VALUES (2, 2); COMMIT",
        "ddl ALTER TABLE t:key[a integer, b integer]", "insert t (2,2)", ";")]
    [InlineData("a rewritten small table comes again, by canonical text", "CREATE TABLE t (a int PRIMARY KEY, at timestamptz, raw bytea, b int, s int GENERATED ALWAYS AS (b * 2) STORED); INSERT INTO t (a, at, raw, b) VALUES (1, '2020-01-01 00:00+00', '\\x00', 1), (2, NULL, NULL, 2)",
        "ALTER TABLE t ALTER a TYPE bigint",
        "ddl ALTER TABLE t:key[a bigint, at timestamp with time zone, raw bytea, b integer, s integer]", "rewrite t:key[a bigint, at timestamp with time zone, raw bytea, b integer, s integer]",
        "rows t (1,\"2020-01-01 00:00:00+00\",\"\\\\x00\",1) (2,,,2)", ";")]
    [InlineData("rows that never were in the WAL come when a table becomes logged", "CREATE UNLOGGED TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1)",
        "ALTER TABLE t SET LOGGED", "ddl ALTER TABLE t:key[a integer]", "rewrite t:key[a integer]", "rows t (1)", ";")]
    [InlineData("every partition that a command rewrites comes again", "CREATE TABLE p (k int, v int, PRIMARY KEY (k)) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2); INSERT INTO p VALUES (1, 1), (2, 2)",
        "ALTER TABLE p ALTER v TYPE text USING v || '!'",
        "ddl ALTER TABLE p1:key[k integer, v text] p2:key[k integer, v text] p:key[k integer, v text]",
        "rewrite p1:key[k integer, v text]", "rows p1 (1,1!)", "rewrite p2:key[k integer, v text]", "rows p2 (2,2!)", ";")]
    [InlineData("CREATE TABLE AS: its rows come, then the table; FULL for lack of a key", "",
        "CREATE TABLE t AS SELECT 1 AS a; UPDATE t SET a = 2", "insert t (1)", "ddl CREATE TABLE AS t:full[a integer] created=t", "update t (2)", ";")]
    [InlineData("SELECT INTO too", "", "SELECT 1 AS a INTO t", "insert t (1)", "ddl SELECT INTO t:full[a integer] created=t", ";")]
    [InlineData("a dropped table, and one that loses a column with a type", "CREATE DOMAIN d AS int; CREATE TABLE t (a int PRIMARY KEY, b d); CREATE TABLE u (a int PRIMARY KEY)",
        "BEGIN; DROP TABLE u; DROP DOMAIN d CASCADE; COMMIT", "ddl DROP TABLE dropped=?", "ddl DROP DOMAIN t:key[a integer]", ";")]
    [InlineData("a dropped key makes FULL in the same transaction", "CREATE TABLE t (a int PRIMARY KEY, b int); INSERT INTO t VALUES (1, 1)",
        "BEGIN; ALTER TABLE t DROP CONSTRAINT t_pkey; UPDATE t SET b = 2; COMMIT", "ddl ALTER TABLE t:full[a integer, b integer]", "ddl ALTER TABLE t:full[a integer, b integer]", "update t (1,2)", ";")]
    [InlineData("a unique NOT NULL index is taken before FULL", "CREATE TABLE t (a int PRIMARY KEY, b int NOT NULL UNIQUE, c int)",
        "ALTER TABLE t DROP CONSTRAINT t_pkey", "ddl ALTER TABLE t:index[a integer, b integer, c integer]", "ddl ALTER TABLE t:index[a integer, b integer, c integer]", ";")]
    [InlineData("partitions: created, attached, detached", "CREATE TABLE p (k int) PARTITION BY LIST (k); CREATE TABLE q (k int)",
        "BEGIN; CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); ALTER TABLE p ATTACH PARTITION q FOR VALUES IN (2); INSERT INTO p VALUES (1), (2); UPDATE p SET k = k; ALTER TABLE p DETACH PARTITION q; COMMIT",
        "ddl CREATE TABLE p1:full[k integer] created=p1", "ddl ALTER TABLE p1:full[k integer] p:none[k integer] q:full[k integer]",
        "insert p1 (1)", "insert q (2)", "update p1 (1)", "update q (2)", "ddl ALTER TABLE p1:full[k integer] p:none[k integer]", ";")]
    [InlineData("renames and moves", "CREATE SCHEMA s; CREATE TABLE t (a int PRIMARY KEY)",
        "BEGIN; ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME TO u; ALTER TABLE u SET SCHEMA s; ALTER SCHEMA s RENAME TO r; COMMIT",
        "ddl ALTER TABLE t:key[b integer]", "ddl ALTER TABLE u:key[b integer]", "ddl ALTER TABLE s.u:key[b integer]", "ddl ALTER SCHEMA r.u:key[b integer]", ";")]
    [InlineData("what the text of values is made of is told, however deep", "CREATE TYPE e AS ENUM ('a'); CREATE DOMAIN de AS e; CREATE TYPE c AS (x de[]); CREATE TABLE t (a int PRIMARY KEY, b c); CREATE TABLE u (a int PRIMARY KEY)",
        "ALTER TYPE e RENAME VALUE 'a' TO 'z'", "ddl ALTER TYPE t:key[a integer, b public.c (1 {z}[])]", ";")]
    [InlineData("a new label changes no value", "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (a e PRIMARY KEY)",
        "ALTER TYPE e ADD VALUE 'b'", "ddl ALTER TYPE t:key[a public.e {a,b}]", ";")]
    [InlineData("a composite's attribute does", "CREATE TYPE c AS (x int); CREATE TABLE t (a int PRIMARY KEY, b c)",
        "ALTER TYPE c ADD ATTRIBUTE y int", "ddl ALTER TYPE t:key[a integer, b public.c (1,2)]", ";")]
    [InlineData("temporary objects and refreshed views are nobody's business", "CREATE MATERIALIZED VIEW m AS SELECT 1",
        "CREATE TEMP TABLE x (a serial PRIMARY KEY); DROP TABLE x; REFRESH MATERIALIZED VIEW m")]
    [InlineData("other objects change the schema and no table", "CREATE TABLE t (a int PRIMARY KEY)",
        "CREATE VIEW v AS SELECT * FROM t; GRANT SELECT ON v TO PUBLIC; COMMENT ON VIEW v IS 'x'",
        "ddl CREATE VIEW", "ddl GRANT", "ddl COMMENT", ";")]
    [InlineData("session_replication_role = replica hides nothing", "",
        "BEGIN; SET LOCAL session_replication_role = replica; CREATE TABLE t (a int PRIMARY KEY); COMMIT", "ddl CREATE TABLE t:key[a integer] created=t", ";")]
    [InlineData("an extension's script is described", "", "CREATE EXTENSION IF NOT EXISTS plpgsql; CREATE EXTENSION tcn; DROP EXTENSION tcn",
        "ddl CREATE FUNCTION", "ddl CREATE EXTENSION", "ddl DROP EXTENSION", ";")]
    [InlineData("marks and barriers", "", "SELECT crmbackup.mark('im''port'), crmbackup.barrier('b')",
        "{\"is\": \"mark\", \"name\": \"im'port\", \"before\": false}", "{\"id\": \"b\", \"is\": \"barrier\"}", ";")]
    public async Task Stream_says(string promise, string before, string statements, params string[] expected)
    {
        Assert.NotEmpty(promise);
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        if (before.Length > 0)
            await source.CrmAsync(before);
        await source.InitAsync();
        await SlotText.ReadAsync(source);
        await source.CrmAsync(statements);
        Assert.Equal(expected, await SlotText.ReadAsync(source));
    }

    [Fact]
    public async Task A_rewritten_large_table_is_named_and_not_sent_again()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 1000) i");
        await source.InitAsync(new SetupOptions { RewriteLimit = 65536 });
        await SlotText.ReadAsync(source);
        await source.CrmAsync("ALTER TABLE t ALTER a TYPE bigint");
        Assert.Equal("rewrite t:key[a bigint, b text] not re-emitted: it is larger than the rewrite limit of 65536 bytes",
            (await SlotText.ReadAsync(source))[1]);
        await source.InitAsync(new SetupOptions { RewriteLimit = 1 << 20 });
        await source.CrmAsync("ALTER TABLE t ALTER a TYPE int");
        var lines = await SlotText.ReadAsync(source);
        Assert.Equal(1000, lines.Where(line => line.StartsWith("rows t ", StringComparison.Ordinal)).Sum(line => line.Split(' ').Length - 2));
    }

    /// <summary>What goes wrong inside our functions, made to go wrong there.</summary>
    [Theory]
    [InlineData("PERFORM pg_sleep(20)", "canceling statement due to statement timeout")]
    [InlineData("ASSERT false, 'asserted'", "asserted")]
    [InlineData("RAISE EXCEPTION 'raised'", "raised")]
    [InlineData("PERFORM 1 / 0", "division by zero")]
    [InlineData("LOCK TABLE public.held", "canceling statement due to lock timeout")]
    public async Task A_command_succeeds_whatever_happens_in_our_trigger(string failure, string said)
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("CREATE TABLE held (a int PRIMARY KEY); CREATE TABLE t (a int PRIMARY KEY)");
        await source.InitAsync();
        await SlotText.ReadAsync(source);
        await using var holder = await source.OpenAsync();
        await SourceDatabase.ExecuteAsync(holder, "BEGIN; LOCK TABLE held");
        await source.CrmAsync($"""
            ALTER EVENT TRIGGER crmbackup_ddl_end DISABLE;
            CREATE OR REPLACE FUNCTION crmbackup.touched(classid oid, objid oid, command text) RETURNS TABLE (relation oid, by_type boolean)
            LANGUAGE plpgsql AS $$ BEGIN {failure}; END $$;
            ALTER EVENT TRIGGER crmbackup_ddl_end ENABLE ALWAYS
            """);
        await source.CrmAsync("SET statement_timeout = '1s'");
        await source.CrmAsync("ALTER TABLE t ADD b int");
        await source.CrmAsync("INSERT INTO t VALUES (1, 2)");
        Assert.Equal([$"ddl ALTER TABLE incomplete: {said}", ";", "insert t (1,2)", ";"], await SlotText.ReadAsync(source));
    }

    [Fact]
    public async Task A_rewrite_succeeds_when_its_rows_cannot_be_sent_again_and_says_so()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        // A hundred kilobytes stored that are ten megabytes of text: far over what the limit means.
        await source.CrmAsync("CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, repeat('x', 10000000))");
        await source.InitAsync(new SetupOptions { RewriteLimit = 500_000 });
        await SlotText.ReadAsync(source);
        await source.CrmAsync("ALTER TABLE t ALTER a TYPE bigint");
        Assert.Equal(["ddl ALTER TABLE t:key[a bigint, b text]",
            "rewrite t:key[a bigint, b text] not re-emitted: its rows are larger than four times the rewrite limit", ";"],
            await SlotText.ReadAsync(source));
    }

    [Fact]
    public async Task Without_our_key_or_settings_the_crm_goes_on()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.InitAsync();
        await source.CrmAsync("DELETE FROM crmbackup.secret");
        await source.CrmAsync("CREATE TABLE t (a int PRIMARY KEY); ALTER TABLE t ALTER a TYPE bigint; DROP TABLE t");
        await source.CrmAsync("DROP TABLE crmbackup.secret, crmbackup.settings");
        await source.CrmAsync("CREATE TABLE t (a int PRIMARY KEY); ALTER TABLE t ALTER a TYPE int; DROP TABLE t");
    }

    [Fact]
    public async Task A_plain_role_can_neither_forge_our_messages_nor_silence_them()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.InitAsync();
        var role = $"plain_{source.Name}";
        await source.CrmAsync($"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}");
        await SlotText.ReadAsync(source);
        try
        {
            await using var plain = await source.OpenAsync($"Username={role}");
            foreach (var forbidden in (string[])["SELECT crmbackup.seal('{}')", "SELECT crmbackup.mark('x')", "SELECT * FROM crmbackup.secret"])
                Assert.Equal(PostgresErrorCodes.InsufficientPrivilege, (await Assert.ThrowsAsync<PostgresException>(
                    () => SourceDatabase.ExecuteAsync(plain, forbidden))).SqlState);
            await SourceDatabase.ExecuteAsync(plain, """
                SELECT pg_logical_emit_message(true, 'crmbackup', repeat('0', 64) || ' 1 {"is": "mark", "name": "x", "before": false}');
                SET crmbackup.ordinal = 'nonsense'; SET crmbackup.rewritten = 'nonsense'; SET search_path = pg_temp;
                CREATE TABLE public.t (a int PRIMARY KEY)
                """);
            var lines = await SlotText.ReadAsync(source);
            Assert.StartsWith("foreign crmbackup 000", lines[0], StringComparison.Ordinal);
            Assert.Equal("ddl CREATE TABLE t:key[a integer] created=t", lines[1]);
        }
        finally
        {
            await source.CrmAsync($"DROP OWNED BY {role}; DROP ROLE {role}");
        }
    }

    [Fact]
    public async Task A_plain_role_may_create_keyless_tables_and_update_them()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.InitAsync();
        var role = $"owner_{source.Name}";
        await source.CrmAsync($"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role}");
        await SlotText.ReadAsync(source);
        try
        {
            await using var plain = await source.OpenAsync($"Username={role}");
            await SourceDatabase.ExecuteAsync(plain, "CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1); UPDATE public.t SET a = 2");
            Assert.Equal(["ddl CREATE TABLE t:full[a integer] created=t", "insert t (1)", "update t (2)", ";"], await SlotText.ReadAsync(source));
        }
        finally
        {
            await source.CrmAsync($"DROP OWNED BY {role}; DROP ROLE {role}");
        }
    }
}
