using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>No statement of the CRM's fails because of us, or waits for us half a second (P4). The CRM's sessions here give up after half a
/// second of waiting for a lock: a statement that succeeds did not wait longer.</summary>
[Collection("postgres")]
public sealed class CrmFirstTests(PostgresFixture postgres, ITestOutputHelper output)
{
    const string Impatient = "Options=-c lock_timeout=500ms";

    [Theory]
    [InlineData(40_000)]
    public Task Nobody_waits_behind_bases_dumps_and_comparisons_and_they_end_all_the_same(int rows) => NobodyWaitsAsync(rows);

    [Theory]
    [Trait("Run", "Full")]
    [InlineData(2_000_000)]
    public Task Nobody_waits_behind_the_base_of_two_gigabytes(int rows) => NobodyWaitsAsync(rows);

    async Task NobodyWaitsAsync(int rows)
    {
        // A base that is read again and again: a gap of the database every time. The server's own autovacuum, which makes nobody wait for less
        // than a second, would be taken for us.
        await using var crm = await Guarded.StartAsync(postgres.Server, $"""
            CREATE TABLE big (id int PRIMARY KEY, doc text) WITH (autovacuum_enabled = off); INSERT INTO big SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, {rows}) i;
            CREATE TABLE emptied (id int PRIMARY KEY); CREATE TABLE dropped (id int PRIMARY KEY, doc text) WITH (autovacuum_enabled = off);
            INSERT INTO dropped SELECT i, repeat('x', 900) FROM generate_series(1, {rows / 4}) i; ALTER TABLE big ALTER doc SET STORAGE PLAIN
            """, output, patience: 60 + rows / 5000);
        await using var session = await crm.Source.OpenAsync(Impatient);
        var statements = 0;
        async Task WorkAsync(Func<bool> until, params string[] work)
        {
            for (var round = 0; !until() || round < 2; round++)
                foreach (var sql in work)
                {
                    await SourceDatabase.ExecuteAsync(session, sql);
                    statements++;
                    await Task.Delay(30);
                }
        }
        string[] alter = ["ALTER TABLE big ADD late int", "ALTER TABLE big DROP late", "TRUNCATE emptied", "UPDATE big SET id = id WHERE id = 7"];
        // Bases: all are read anew when the slot was lost.
        await crm.PersonAsync("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()");
        await Eventually.TrueAsync(async () =>
        {
            try
            {
                await crm.PersonAsync("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()");
                return true;
            }
            catch (PostgresException)
            {
                return false;
            }
        }, TimeSpan.FromSeconds(20), "the slot to be dropped");
        await crm.UntilAsync(() => crm.HasGap(GapScope.Database, ""), "the gap");
        await WorkAsync(() => crm.Log.Lines.Count(line => line.Contains(" 4204 ", StringComparison.Ordinal)) > 3, alter);
        await SourceDatabase.ExecuteAsync(session, "DROP TABLE dropped");
        await crm.ProtectedAsync();
        output.WriteLine($"{statements} statements beside bases");

        // Schema dumps follow each DDL: they were beside all of this. A comparison reads every table in one piece.
        await crm.DurableAsync();
        var reader = await BackupVault.OpenAsync(new DirectoryMedium(crm.Vault.Medium.Location), default);
        var comparing = new SourceComparison(reader, TimeProvider.System, crm.Log).RunAsync(
            new CompareOptions { Source = crm.Source.ConnectionString }, null, default);
        await WorkAsync(() => statements > 60 || comparing.IsCompleted, "TRUNCATE emptied", "ALTER TABLE big ADD late int", "ALTER TABLE big DROP late");
        var report = await comparing;
        Assert.DoesNotContain(report.Tables, table => table.Equal == false);
        await crm.EqualsSourceAsync();
        output.WriteLine($"{statements} statements in all");
    }

    [Fact]
    public async Task Our_functions_without_rights_our_role_without_rights_and_our_tables_locked_hold_up_nobody()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("CREATE TABLE t (id int PRIMARY KEY)");
        await source.InitAsync();
        var role = $"weak_{source.Name}";
        await source.CrmAsync($"CREATE ROLE {role}; GRANT ALL ON SCHEMA public TO {role}");
        try
        {
            await using var session = await source.OpenAsync($"{Impatient} -c statement_timeout=5s");
            const string work = "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1); ALTER TABLE a ADD b int DEFAULT 1; ALTER TABLE a ALTER id TYPE bigint; UPDATE a SET b = 2; DELETE FROM a; DROP TABLE a";
            // Somebody holds all that is ours: the triggers do without.
            await using (var holder = await source.OpenAsync())
            {
                await SourceDatabase.ExecuteAsync(holder, "BEGIN; LOCK TABLE crmbackup.settings, crmbackup.secret");
                await SourceDatabase.ExecuteAsync(session, work);
                await SourceDatabase.ExecuteAsync(holder, "ROLLBACK");
            }
            // The owner of our functions may do nothing any more.
            foreach (var trigger in (string[])["on_ddl_end", "on_drop", "on_rewrite"])
                await source.CrmAsync($"ALTER FUNCTION crmbackup.{trigger}() OWNER TO {role}");
            await SourceDatabase.ExecuteAsync(session, work);
            await source.CrmAsync("REVOKE ALL ON SCHEMA crmbackup FROM PUBLIC; DROP TABLE crmbackup.settings CASCADE");
            await SourceDatabase.ExecuteAsync(session, work);
            await source.CrmAsync("DROP SCHEMA crmbackup CASCADE");
            await SourceDatabase.ExecuteAsync(session, work);
        }
        finally
        {
            await source.CrmAsync($"DROP SCHEMA IF EXISTS crmbackup CASCADE; DROP OWNED BY {role}; DROP ROLE {role}");
        }
    }

    [Fact]
    public async Task Init_stands_in_no_lock_queue()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("CREATE TABLE keyless (a int); INSERT INTO keyless VALUES (1)");
        await source.CrmAsync("BEGIN; SELECT * FROM keyless");
        var setting = source.InitAsync(new SetupOptions { LockPatience = TimeSpan.FromSeconds(1) });
        await using var session = await source.OpenAsync(Impatient);
        while (!setting.IsCompleted)
        {
            await SourceDatabase.ExecuteAsync(session, "SELECT * FROM keyless; UPDATE keyless SET a = a + 1");
            await Task.Delay(20);
        }
        Assert.Contains("a lock was not to be had", (await Assert.ThrowsAsync<RefusedException>(() => setting)).Message);
        await source.CrmAsync("COMMIT");
        await source.InitAsync();
        await SourceDatabase.ExecuteAsync(session, "UPDATE keyless SET a = a + 1");
    }

    [Fact]
    public async Task A_role_that_lost_its_rights_is_said_and_nothing_of_the_crm_stops()
    {
        var role = $"backup_{Guid.NewGuid():N}"[..20];
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("CREATE TABLE t (id int PRIMARY KEY)");
        await source.InitAsync(new SetupOptions { Role = role });
        try
        {
            var log = new TestLog(output);
            var options = source.Options() with { Source = ConnectionText.Parse($"{source.ConnectionString};Username={role}") };
            await using (var listener = new Listener(options, logger: log))
            {
                await listener.StartAsync();
                await listener.CaughtUpAsync(source);
                await source.CrmAsync($"REVOKE ALL ON SCHEMA crmbackup FROM {role}; REVOKE pg_read_all_data FROM {role}; ALTER ROLE {role} NOREPLICATION");
                await source.CrmAsync("INSERT INTO t VALUES (1)");
                await listener.WaitAsync(() => listener.Controls<CatalogSeen>().Any(seen => seen.Problems.Any(problem => problem.Contains(role))), "the problem to be said");
                await source.CrmAsync("CREATE TABLE more (id int PRIMARY KEY); INSERT INTO more VALUES (1); UPDATE t SET id = 2; DROP TABLE more");
                await listener.CaughtUpAsync(source);
            }
            await using (var listener = new Listener(options, logger: log))
            {
                var refused = await Assert.ThrowsAnyAsync<BackupException>(() => listener.StartAsync());
                Assert.Contains(role, refused.Message);
            }
        }
        finally
        {
            await source.CrmAsync($"DROP OWNED BY {role}; DROP ROLE {role}");
        }
    }
}
