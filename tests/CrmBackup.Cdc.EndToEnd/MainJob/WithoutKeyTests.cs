using System.Diagnostics;
using System.Text.Json;
using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Tables whose UPDATE would fail while it is published: without a key, with generated columns, made a moment ago. No statement of
/// the CRM's fails, and what cannot be told at once is a gap that closes by itself.</summary>
[Collection("postgres")]
public sealed class WithoutKeyTests(PostgresFixture postgres, ITestOutputHelper output)
{
    [Fact]
    public async Task No_update_fails_for_want_of_a_key_and_each_moment_is_exact()
    {
        var database = await postgres.Server.CreateDatabaseAsync("keyless");
        // 18 alone has the kind that no publication carries.
        var kind = await MajorAsync() >= 18 ? "VIRTUAL" : "STORED";
        await postgres.Server.ExecuteAsync($"""
            CREATE TABLE note (line text, size integer GENERATED ALWAYS AS (length(line)) {kind});
            CREATE TABLE letter (line text, size integer GENERATED ALWAYS AS (length(line)) STORED, "odd ""name" text);
            CREATE TABLE doc (doc jsonb, id text GENERATED ALWAYS AS (doc ->> 'id') STORED PRIMARY KEY);
            CREATE TABLE loses (id integer PRIMARY KEY, line text, size integer GENERATED ALWAYS AS (length(line)) {kind});
            CREATE TABLE gains (id integer, line text);
            CREATE TABLE fast (id integer PRIMARY KEY, line text);
            CREATE TABLE part (id integer, line text, size integer GENERATED ALWAYS AS (length(line)) {kind}) PARTITION BY LIST (id);
            CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1); CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
            INSERT INTO note SELECT 'n' || i % 5 FROM generate_series(1, 20) i; INSERT INTO letter (line) SELECT 'l,"' || i % 5 FROM generate_series(1, 20) i;
            INSERT INTO doc SELECT jsonb_build_object('id', i, 'v', 1) FROM generate_series(1, 20) i; INSERT INTO loses SELECT i, 'x' FROM generate_series(1, 20) i;
            INSERT INTO gains SELECT i, 'g' FROM generate_series(1, 20) i; INSERT INTO fast SELECT i, 'f' FROM generate_series(1, 20) i;
            INSERT INTO part SELECT 1 + i % 2, 'p' || i FROM generate_series(1, 20) i
            """, database);
        await using var crm = await Protected.InitAsync(postgres.Server, null, database);
        (await Crmbackup.RunAsync("check", "--source", crm.Source)).MustBe(0);
        crm.Start("--flush", "300ms");
        await crm.ProtectingAsync();

        var moments = new List<TrueState>();
        foreach (var script in new[]
        {
            """
            UPDATE note SET line = line || '!' WHERE line < 'n3'; DELETE FROM note WHERE line = 'n4'; INSERT INTO note VALUES ('n3'), (NULL);
            UPDATE letter SET "odd ""name" = E'\\ ( , "' WHERE line > 'l,"2'; DELETE FROM letter WHERE line = 'l,"0';
            UPDATE doc SET doc = doc || '{"v": 2}'; UPDATE doc SET doc = '{"id": "moved"}' WHERE id = '7'; DELETE FROM doc WHERE id > '18';
            UPDATE part SET id = 3 - id, line = line || '>' WHERE line < 'p5'; DELETE FROM part WHERE line = 'p9'
            """,
            $"""
            CREATE TABLE fresh (line text, size integer GENERATED ALWAYS AS (length(line)) {kind}); INSERT INTO fresh VALUES ('a'), ('a'), ('b');
            UPDATE fresh SET line = 'c' WHERE line = 'b'; DELETE FROM fresh WHERE ctid = (SELECT min(ctid) FROM fresh WHERE line = 'a');
            CREATE TABLE plain AS SELECT i AS id, 'p' AS line FROM generate_series(1, 5) i; UPDATE plain SET line = 'q' WHERE id > 2;
            CREATE TABLE keyed (id integer PRIMARY KEY, line text); INSERT INTO keyed VALUES (1, 'k'), (2, 'k'); UPDATE keyed SET line = 'kk' WHERE id = 2; DELETE FROM keyed WHERE id = 1
            """,
            $"""
            ALTER TABLE loses DROP CONSTRAINT loses_pkey; UPDATE loses SET line = 'y' WHERE id > 10; DELETE FROM loses WHERE id = 20;
            ALTER TABLE gains ADD size integer GENERATED ALWAYS AS (length(line)) {kind}; UPDATE gains SET line = 'gg' WHERE id > 10;
            ALTER TABLE note ADD id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY; UPDATE note SET line = 'keyed' WHERE id = 1; DELETE FROM note WHERE id = 2;
            ALTER TABLE letter DROP size; UPDATE letter SET line = 'plain' WHERE line = 'l,"3'; DELETE FROM letter WHERE line = 'l,"1'
            """,
            """
            ALTER TABLE gains ADD PRIMARY KEY (id); UPDATE gains SET line = 'key' WHERE id = 1; DELETE FROM gains WHERE id = 2;
            ALTER TABLE fast SET UNLOGGED; UPDATE fast SET line = 'fast'; ALTER TABLE fast SET LOGGED; UPDATE fast SET line = 'logged' WHERE id = 1;
            ALTER TABLE part DETACH PARTITION part_2; UPDATE part_2 SET line = 'alone'; DELETE FROM part_2 WHERE id = 1
            """,
        })
        {
            foreach (var statement in Postgres.SqlStatements.Split(script))
                await crm.ExecuteAsync(statement);
            // In one transaction too.
            await crm.ExecuteAsync($"CREATE TABLE once_{moments.Count} (line text, size integer GENERATED ALWAYS AS (length(line)) {kind}); INSERT INTO once_{moments.Count} VALUES ('a'), ('b'); "
                + $"UPDATE once_{moments.Count} SET line = line || '2'; DELETE FROM once_{moments.Count} WHERE line = 'a2'");
            await crm.SchemaStoredAsync();
            moments.Add(await TrueState.RecordAsync(crm.Source));
        }
        await crm.WaitAsync();
        (await Crmbackup.RunAsync("check", "--source", crm.Source)).MustBe(0);
        (await Crmbackup.RunAsync("verify", "--vault", crm.Vault, "--source", crm.Source)).MustBe(0);
        await crm.StopAsync();
        // Each second one: it holds what came of the one before.
        foreach (var moment in new[] { moments[1], moments[3] })
        {
            var restored = await crm.RestoreAsync($"lsn:{moment.Lsn}");
            var differences = (await TrueState.OfAsync(restored)).DifferencesFrom(moment);
            Assert.True(differences is [], $"lsn:{moment.Lsn}: {string.Join("; ", differences)}\n{crm.Logs}");
            Assert.Equal(0L, await AskAsync<long>(restored, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'crmbackup%'"));
        }
        // Everything of ours goes, and an UPDATE goes on.
        (await Crmbackup.RunAsync("init", "--remove", "--yes", "--source", crm.Source, "--vault", crm.Vault)).MustBe(0);
        Assert.Equal(0L, await AskAsync<long>(crm.Source, "SELECT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'crmbackup%') + (SELECT count(*) FROM pg_publication)"));
        await crm.ExecuteAsync("UPDATE loses SET line = 'z'; UPDATE fresh SET line = 'z'; UPDATE doc SET doc = doc || '{\"v\": 3}'");
    }

    /// <summary>Two transactions that make tables: the second finds the list of published tables locked, and does not wait for it.</summary>
    [Fact]
    public async Task A_table_that_cannot_be_listed_at_once_has_a_gap_that_closes_by_itself()
    {
        if (await MajorAsync() < 18)
        {
            output.WriteLine("not run: before PostgreSQL 18 no table has to be listed");
            return;
        }
        var database = await postgres.Server.CreateDatabaseAsync("contended");
        await postgres.Server.ExecuteAsync("CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')", database);
        await using var crm = await Protected.InitAsync(postgres.Server, null, database);
        crm.Start("--flush", "300ms");
        await crm.ProtectingAsync();
        TrueState inGap;
        await using (var migration = new NpgsqlConnection(crm.Source + ";Pooling=false"))
        {
            await migration.OpenAsync();
            await using var transaction = await migration.BeginTransactionAsync();
            await using (var first = new NpgsqlCommand("CREATE TABLE first (id integer PRIMARY KEY, v text); INSERT INTO first VALUES (1, 'a')", migration))
                await first.ExecuteNonQueryAsync();
            var waited = Stopwatch.StartNew();
            await crm.ExecuteAsync("CREATE TABLE second (id integer PRIMARY KEY, v text); INSERT INTO second VALUES (1, 'a'), (2, 'b')");
            await crm.ExecuteAsync("UPDATE second SET v = 'unseen' WHERE id = 1");
            Assert.True(waited.Elapsed < TimeSpan.FromSeconds(5), $"{waited.Elapsed}");
            await crm.WaitAsync();
            inGap = await TrueState.RecordAsync(crm.Source);
            Assert.Contains("second are not published yet", (await Crmbackup.RunAsync("status", "--source", crm.Source, "--vault", crm.Vault)).MustBe(3).Output);
            await using (var update = new NpgsqlCommand("UPDATE first SET v = 'b'", migration))
                await update.ExecuteNonQueryAsync();
            await transaction.CommitAsync();
        }
        await crm.ProtectingAsync();
        await crm.ExecuteAsync("UPDATE second SET v = 'seen' WHERE id = 2; UPDATE first SET v = v || 'c'");
        var now = await TrueState.RecordAsync(crm.Source);
        await crm.WaitAsync();
        var differences = (await TrueState.OfAsync(await crm.RestoreAsync($"lsn:{now.Lsn}"))).DifferencesFrom(now);
        Assert.True(differences is [], string.Join("; ", differences));
        var refused = await Crmbackup.RunAsync("restore", "--vault", crm.Vault, "--to", $"lsn:{inGap.Lsn}", "--target", postgres.Server.ConnectionString(crm.Database + "_gap"));
        Assert.Contains("second", refused.MustBe(3).Errors);
    }

    /// <summary>18 can let go of a slot that nobody has read for a while.</summary>
    [Fact]
    public async Task A_slot_that_was_idle_for_too_long_is_made_anew()
    {
        if (await MajorAsync() < 18)
        {
            output.WriteLine("not run: idle_replication_slot_timeout came with PostgreSQL 18");
            return;
        }
        await using var server = await PostgresServer.StartAsync();
        var database = await server.CreateDatabaseAsync("idle");
        await server.ExecuteAsync("CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a')", database);
        await using var crm = await Protected.InitAsync(server, null, database);
        crm.Start("--flush", "300ms");
        await crm.ProtectingAsync();
        await crm.StopAsync();
        await server.ExecuteAsync("ALTER SYSTEM SET idle_replication_slot_timeout = '1s'");
        await server.ExecuteAsync("SELECT pg_reload_conf()");
        Assert.Contains("idle_replication_slot_timeout", (await Crmbackup.RunAsync("check", "--source", crm.Source)).Output);
        await crm.ExecuteAsync("UPDATE t SET v = 'unread'");
        await Eventually.TrueAsync(async () =>
        {
            await server.ExecuteAsync("CHECKPOINT");
            return await crm.ExecuteAsync("SELECT invalidation_reason FROM pg_replication_slots") is "idle_timeout";
        }, TimeSpan.FromSeconds(60), "the slot to be let go");
        await server.ExecuteAsync("ALTER SYSTEM RESET idle_replication_slot_timeout");
        await server.ExecuteAsync("SELECT pg_reload_conf()");
        crm.Start("--flush", "300ms");
        await crm.ProtectingAsync();
        await crm.ExecuteAsync("INSERT INTO t VALUES (2, 'read')");
        await crm.WaitAsync();
        Assert.Equal("1 unread, 2 read", await AskAsync<string>(await crm.RestoreAsync("latest"), "SELECT string_agg(id || ' ' || v, ', ' ORDER BY id) FROM t"));
        var points = JsonDocument.Parse((await Crmbackup.RunAsync("points", "--vault", crm.Vault, "--output", "json")).Output);
        Assert.True(points.RootElement.GetProperty("coverage").GetArrayLength() > 1);
    }

    async Task<int> MajorAsync() => int.Parse((string)(await postgres.Server.ExecuteAsync("SHOW server_version_num"))!) / 10_000;

    static async Task<T> AskAsync<T>(string database, string sql)
    {
        await using var source = NpgsqlDataSource.Create(database);
        return (T)(await source.CreateCommand(sql).ExecuteScalarAsync())!;
    }
}
