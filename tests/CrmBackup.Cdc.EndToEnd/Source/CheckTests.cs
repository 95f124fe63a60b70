using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Npgsql;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A server of these tests' own: most of what is unsafe concerns the whole server, and some of it a restart.</summary>
public sealed class CheckedServer : IAsyncLifetime
{
    public PostgresServer Server { get; private set; } = null!;

    public async Task InitializeAsync() => Server = await PostgresServer.StartAsync(new Dictionary<string, string>
    {
        ["max_wal_senders"] = "4",
        ["max_replication_slots"] = "4",
        ["max_connections"] = "20",
        ["max_locks_per_transaction"] = "64",
    });

    public async Task DisposeAsync() => await Server.DisposeAsync();
}

public sealed class CheckTests(CheckedServer checkedServer) : IClassFixture<CheckedServer>, IAsyncLifetime
{
    const string Tables = """
        CREATE TABLE public.account (id bigint PRIMARY KEY, name text); CREATE TABLE public.log (line text);
        INSERT INTO account VALUES (1, 'x'); INSERT INTO log VALUES ('x');
        """;
    static readonly Guid _vault = Guid.NewGuid();
    readonly PostgresServer _server = checkedServer.Server;
    string _database = null!;
    SetupOptions _options = new() { Vault = _vault };
    NpgsqlConnection? _session;

    public async Task InitializeAsync()
    {
        _database = await _server.CreateDatabaseAsync("check");
        await RunAsync(Tables);
    }

    /// <summary>The server as it was.</summary>
    public async Task DisposeAsync()
    {
        if (_session is not null)
            await _session.DisposeAsync();
        foreach (var gid in await ListAsync("SELECT gid FROM pg_prepared_xacts"))
            await _server.ExecuteAsync($"ROLLBACK PREPARED {SqlText.Literal(gid)}", _database);
        await _server.DropDatabaseAsync(_database);
        await _server.ExecuteAsync("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
        foreach (var role in await ListAsync("SELECT rolname FROM pg_roles WHERE rolname IN ('plain', 'backup')"))
            await _server.ExecuteAsync($"DROP ROLE {role}");
        await _server.ExecuteAsync("ALTER SYSTEM RESET ALL");
        await _server.ExecuteAsync("SELECT pg_reload_conf(), pg_sleep(0.2)");
        if ((long)(await _server.ExecuteAsync("SELECT count(*) FROM pg_settings WHERE pending_restart"))! > 0)
            await RestartAsync();
    }

    async Task<string[]> ListAsync(string sql) => (string[])(await _server.ExecuteAsync($"SELECT array(SELECT x::text FROM ({sql}) AS list (x))"))!;

    /// <summary>Each makes the set-up unsafe in one way. "restart" restarts the server, "init" runs before, "role" checks as that role.</summary>
    public static TheoryData<string, string, string> Unsafe { get; } = new()
    {
        // Id of the finding, whether init had run, what makes it unsafe.
        { "not-set-up", "", "" },
        { "wal-level", "", "ALTER SYSTEM SET wal_level = 'replica'; restart" },
        { "no-free-slot", "", "SELECT pg_create_physical_replication_slot('s' || i) FROM generate_series(1, 4) i" },
        { "no-free-walsender", "init", "ALTER SYSTEM SET max_wal_senders = 0; restart" },
        { "synchronous-standby", "init", "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (other, \"CrmBackup\")'; SELECT pg_reload_conf(); SELECT pg_sleep(0.3)" },
        { "prepared-transaction", "", "BEGIN; INSERT INTO account VALUES (2); PREPARE TRANSACTION 'it''s old'" },
        { "no-identity", "init", "SET event_triggers_off; CREATE TABLE loose (a int)" },
        { "no-identity", "init", "SET event_triggers_off; ALTER TABLE account REPLICA IDENTITY NOTHING" },
        { "event-trigger", "init", "DROP EVENT TRIGGER crmbackup_sql_drop" },
        { "event-trigger", "init", "ALTER EVENT TRIGGER crmbackup_ddl_end DISABLE" },
        { "event-trigger", "init", "ALTER EVENT TRIGGER crmbackup_rewrite ENABLE" },
        { "event-triggers-off", "init", "ALTER SYSTEM SET event_triggers = off; SELECT pg_reload_conf(); SELECT pg_sleep(0.3)" },
        { "function-changed", "init", "CREATE OR REPLACE FUNCTION crmbackup.on_rewrite() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$" },
        { "function-changed", "init", "ALTER FUNCTION crmbackup.on_drop() SECURITY INVOKER" },
        { "function-changed", "init", "DROP FUNCTION crmbackup.protects(oid)" },
        { "settings-missing", "init", "DROP TABLE crmbackup.secret" },
        { "publication", "init", "DROP PUBLICATION crmbackup" },
        { "publication", "init", "ALTER PUBLICATION crmbackup SET (publish = 'insert, update, delete')" },
        { "publication", "init", "ALTER PUBLICATION crmbackup SET (publish_via_partition_root = true)" },
        { "publication", "init", "DROP PUBLICATION crmbackup; CREATE PUBLICATION crmbackup FOR ALL TABLES" },
        { "publication", "init chosen", "ALTER PUBLICATION crmbackup DROP TABLE log" },
        { "publication", "init chosen", "ALTER PUBLICATION crmbackup SET TABLE account (id), log" },
        { "publication", "init chosen", "ALTER PUBLICATION crmbackup SET TABLE account WHERE (id > 5), log" },
        { "publication", "init chosen", "ALTER PUBLICATION crmbackup ADD TABLES IN SCHEMA public" },
        { "publication", "init chosen", "CREATE TABLE account_2 (id int PRIMARY KEY)" },
        { "publication", "init", "DROP PUBLICATION crmbackup_changes" },
        { "publication", "init", "ALTER PUBLICATION crmbackup_changes DROP TABLE log" },
        { "publication", "init", "ALTER PUBLICATION crmbackup_changes SET (publish_generated_columns = stored)" },
        { "slot-missing", "init", "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots" },
        { "slot-useless", "init", "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots; SELECT pg_create_logical_replication_slot(value, 'test_decoding') FROM crmbackup.settings WHERE key = 'slot'" },
        { "slot-useless", "init", "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots; SELECT pg_create_logical_replication_slot(value, 'pgoutput', false, true) FROM crmbackup.settings WHERE key = 'slot'" },
        { "slot-useless", "init", "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'; SELECT pg_reload_conf(); SELECT pg_sleep(0.3); switch; switch; switch; switch; CHECKPOINT" },
        { "slot-unrecorded", "init", "DELETE FROM crmbackup.settings WHERE key = 'incarnation'" },
        { "other-vault", "init", "UPDATE crmbackup.settings SET value = gen_random_uuid()::text WHERE key = 'vault'" },
        { "role", "init role", "ALTER ROLE backup NOREPLICATION NOBYPASSRLS" },
        { "role", "init role", "REVOKE pg_read_all_data FROM backup" },
        { "no-replication", "init", "plain" },
        { "no-access", "init", "plain" },
        { "not-readable", "init", "plain" },
        { "row-security", "init", "ALTER TABLE account ENABLE ROW LEVEL SECURITY; plain" },
        { "lock-table", "init", "ALTER SYSTEM SET max_locks_per_transaction = 10; ALTER SYSTEM SET max_connections = 10; restart; many" },
    };

    /// <summary>What an older PostgreSQL does not know, or does not have, nobody can do to it.</summary>
    static readonly (string Text, int Major)[] _needs =
    [
        ("TABLES IN SCHEMA", 15), ("TABLE account WHERE", 15), ("TABLE account (id)", 15), ("event_triggers = off", 17), ("crmbackup_changes", 18),
    ];

    async Task<int> MajorAsync()
    {
        await using var connection = await OpenAsync("postgres");
        return connection.PostgreSqlVersion.Major;
    }

    [Theory, MemberData(nameof(Unsafe))]
    public async Task An_unsafe_set_up_is_found_and_its_printed_remedies_mend_it(string id, string before, string sabotage)
    {
        if (before.Contains("role", StringComparison.Ordinal))
            _options = _options with { Role = "backup" };
        if (before.Contains("chosen", StringComparison.Ordinal))
            _options = _options with { Tables = ["public.account*", "log"] };
        if (before.StartsWith("init", StringComparison.Ordinal))
            await InitAsync();
        var safe = await CheckAsync("postgres");
        if (before.Length > 0)
            Assert.DoesNotContain(safe, finding => finding.Severity == Severity.Unsafe);
        if (_needs.Any(need => sabotage.Contains(need.Text)) && await MajorAsync() < _needs.First(need => sabotage.Contains(need.Text)).Major)
        {
            await Assert.ThrowsAsync<PostgresException>(() => SabotageAsync(sabotage));
            return;
        }
        var user = await SabotageAsync(sabotage);

        var found = await CheckAsync(user);
        Assert.Contains(found, finding => finding.Id == id && finding.Severity == Severity.Unsafe);
        foreach (var finding in found.Where(finding => finding.Severity == Severity.Unsafe))
            foreach (var remedy in finding.Remedies)
                await FollowAsync(remedy);
        // What remedies depend on one another shows in a second round, as it does to a person.
        foreach (var remedy in (await CheckAsync(user)).Where(finding => finding.Severity == Severity.Unsafe).SelectMany(finding => finding.Remedies))
            await FollowAsync(remedy);
        Assert.DoesNotContain(await CheckAsync(user), finding => finding.Severity == Severity.Unsafe);
        await InitAsync();
        await RunAsync("UPDATE account SET name = 'y'; UPDATE log SET line = 'y'");
    }

    [Fact]
    public async Task What_is_reduced_is_said_and_is_no_reason_to_stop()
    {
        await RunAsync("""
            CREATE UNLOGGED TABLE fast (a int); CREATE MATERIALIZED VIEW seen AS SELECT 1; SELECT lo_create(0);
            CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far (a int) SERVER s;
            CREATE TABLE named (a int PRIMARY KEY, b regclass, c int GENERATED ALWAYS AS (a) STORED);
            CREATE TABLE keyless (doc text); ALTER TABLE keyless ALTER doc SET STORAGE EXTERNAL; INSERT INTO keyless VALUES (repeat('x', 5000));
            """);
        await RunAsync("ALTER SYSTEM SET wal_sender_timeout = 0");
        await RunAsync("SELECT pg_reload_conf(), pg_sleep(0.3)");
        var filters = await MajorAsync() >= 15;
        _options = _options with { ExcludeTables = ["named"], Rows = filters ? [new RowChoice("public.account", "id > 0")] : [] };
        await InitAsync();
        var found = await CheckAsync("postgres");
        string[] rowFilter = filters ? ["row-filter"] : [];
        string[] byName = await MajorAsync() < 18 ? ["set-unlogged"] : [];
        Assert.Equal(["foreign-tables", "generated-columns", "identity-full", "large-objects", "materialized-views", "not-chosen", "reg-columns", .. rowFilter,
            .. byName, "unlogged-tables", "wal-sender-timeout", "wal-unbounded"],
            found.Where(finding => finding.Id is not "decoding-memory" and not "minor-version" and not "sequences").Select(finding => finding.Id).Order(StringComparer.Ordinal));
        Assert.DoesNotContain(found, finding => finding.Severity == Severity.Unsafe);
        await using var connection = await OpenAsync("postgres");
        Assert.Equal(filters ? 6 : 5, (await SourceCheck.FidelityAsync(connection, default)).Count);
        // Of the whole database it is not the tables' names that can stand in the CRM's way.
        _options = _options with { ExcludeTables = [], Rows = [] };
        await InitAsync();
        Assert.Equal(await MajorAsync() < 18, (await CheckAsync("postgres")).Any(finding => finding.Id == "removal-by-hand"));
    }

    async Task<string> SabotageAsync(string sabotage)
    {
        var user = "postgres";
        await using var connection = new NpgsqlConnection(_server.ConnectionString(_database) + ";Pooling=false");
        if (sabotage.StartsWith("SET event_triggers_off; ", StringComparison.Ordinal))
        {
            // As a table that was made while our triggers were gone.
            await RunAsync("ALTER EVENT TRIGGER crmbackup_ddl_end DISABLE");
            await RunAsync(sabotage["SET event_triggers_off; ".Length..]);
            await RunAsync("ALTER EVENT TRIGGER crmbackup_ddl_end ENABLE ALWAYS");
            return user;
        }
        foreach (var statement in SqlStatements.Split(sabotage))
            switch (statement)
            {
                case "restart": await RestartAsync(); break;
                case "switch": await RunAsync("SELECT pg_switch_wal(); INSERT INTO log VALUES (repeat('x', 1000))"); break;
                case "many": await RunAsync("DO $$ BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE TABLE many%s (a int PRIMARY KEY)', i); IF i % 20 = 0 THEN COMMIT; END IF; END LOOP; END $$"); break;
                case "plain":
                    await RunAsync("CREATE ROLE plain LOGIN");
                    user = "plain";
                    break;
                default:
                    if (connection.State != System.Data.ConnectionState.Open)
                        await connection.OpenAsync();
                    await SourceDatabase.ExecuteAsync(connection, statement);
                    break;
            }
        return user;
    }

    async Task FollowAsync(Remedy remedy)
    {
        switch (remedy.Kind)
        {
            case RemedyKind.Sql: await RunAsync(SqlStatements.AsOneCommand(remedy.Text)); break;
            case RemedyKind.Restart: await RestartAsync(); break;
            case RemedyKind.Command when remedy.Text == "crmbackup init": await InitAsync(); break;
            case RemedyKind.Command when remedy.Text == "crmbackup init --remove":
                await using (var connection = await OpenAsync("postgres"))
                    await new SourceSetup(TimeProvider.System).RemoveAsync(connection, new SetupOptions(), before: null, default);
                break;
            case RemedyKind.Command: throw new InvalidOperationException(remedy.Text);
            default: break;
        }
    }

    async Task<IReadOnlyList<Finding>> CheckAsync(string user)
    {
        await using var connection = await OpenAsync(user);
        return await SourceCheck.RunAsync(connection, _options, default);
    }

    async Task InitAsync()
    {
        await using var connection = await OpenAsync("postgres");
        await new SourceSetup(TimeProvider.System).ApplyAsync(connection, _options, before: null, default);
    }

    Task<NpgsqlConnection> OpenAsync(string user) =>
        SourceConnection.OpenAsync($"{_server.ConnectionString(_database)};Username={user}", default);

    async Task RestartAsync()
    {
        await _server.StopAsync();
        await _server.StartAgainAsync();
    }

    /// <summary>One session for all, as one at psql: BEGIN … COMMIT of a remedy are statements of their own.</summary>
    async Task RunAsync(string sql)
    {
        if (_session is not { State: System.Data.ConnectionState.Open } || await IsDeadAsync(_session))
        {
            _session = new NpgsqlConnection(_server.ConnectionString(_database) + ";Pooling=false");
            await _session.OpenAsync();
        }
        await SourceDatabase.ExecuteAsync(_session, sql);
    }

    static async Task<bool> IsDeadAsync(NpgsqlConnection session)
    {
        try
        {
            await SourceDatabase.ExecuteAsync(session, "SELECT 1");
            return false;
        }
        catch (NpgsqlException failure) when (failure is not PostgresException { SqlState: "25P02" })
        {
            return true;
        }
    }
}
