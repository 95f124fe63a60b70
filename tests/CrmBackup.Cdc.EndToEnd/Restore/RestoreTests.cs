using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("postgres")]
public sealed class RestoreTests(PostgresFixture postgres)
{
    const string Crm = """
        CREATE TYPE stage AS ENUM ('lead', 'won', 'lost');
        CREATE TABLE accounts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, doc text, balance numeric(12,2) DEFAULT 0,
            upper_name text GENERATED ALWAYS AS (upper(name)) STORED, since timestamptz DEFAULT now(), tags text[], extra jsonb);
        CREATE TABLE deals (id serial PRIMARY KEY, account_id bigint REFERENCES accounts, at stage, amount float8, CHECK (amount > -1e9));
        CREATE TABLE notes (body text, n int);
        CREATE TABLE nothing ();
        CREATE TABLE visits (day date, who text, PRIMARY KEY (day, who)) PARTITION BY RANGE (day);
        CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
        CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
        CREATE INDEX deals_amount ON deals (amount);
        CREATE VIEW won AS SELECT * FROM deals WHERE at = 'won';
        CREATE MATERIALIZED VIEW totals AS SELECT account_id, sum(amount) FROM deals GROUP BY 1;
        CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.balance := NEW.balance + 1; RETURN NEW; END $$;
        CREATE TRIGGER touch BEFORE INSERT ON accounts FOR EACH ROW EXECUTE FUNCTION touch();
        COMMENT ON TABLE accounts IS 'whom we sell to; with a semicolon';
        INSERT INTO accounts (name, doc, tags, extra) SELECT 'account ' || i, repeat(md5(i::text), 400), ARRAY['a', NULL, E'b\t"\\'], '{"k": [1, null]}'
            FROM generate_series(1, 300) i;
        INSERT INTO deals (account_id, at, amount) SELECT i, 'lead', i / 3.0 FROM generate_series(1, 300) i;
        INSERT INTO notes SELECT E'line\nbreak \\. tab\t', i % 3 FROM generate_series(1, 30) i;
        INSERT INTO nothing DEFAULT VALUES;
        INSERT INTO visits SELECT '2026-03-01'::date + i * 10, 'x' FROM generate_series(1, 20) i;
        """;

    [Fact]
    public async Task Rows_of_a_type_that_the_schema_of_another_moment_lacks_find_a_column_of_text()
    {
        var name = await postgres.Server.CreateDatabaseAsync("fit");
        await using (var target = await SourceConnection.OpenAsync(ConnectionText.Parse(postgres.Server.ConnectionString(name)), default))
        {
            await postgres.Server.ExecuteAsync("CREATE TABLE old (id integer, v integer)", name);
            ColumnShape[] columns =
            [
                new(1, "id", 23, -1, "integer", IsKey: true), new(2, "v", 16500, -1, "public.pair", IsKey: false),
                new(3, "many", 16501, -1, "\"no such\".pair[]", IsKey: false), new(4, "n", 1700, 786438, "numeric(12,2)", IsKey: false),
            ];
            var shapes = new[] { "old", "fresh" }.Select((table, index) => new RelationShape(index + 1, 1, Lsn.None, 0, "public", table, ReplicaIdentity.Default, columns)).ToList();
            await SchemaFit.ApplyAsync(target, shapes, [], default);
            Assert.Empty(await SchemaFit.ApplyAsync(target, shapes, [], default));
        }
        foreach (var table in new[] { "old", "fresh" })
            Assert.Equal("id integer, v text, many text, n numeric(12,2)", await postgres.Server.ExecuteAsync(
                $"SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped", name));
        await postgres.Server.DropDatabaseAsync(name);
    }

    [Fact]
    public async Task A_restored_database_equals_the_source_at_each_recorded_moment()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync(Crm);
        await using var vault = await HandMadeVault.CreateAsync(source, postgres.Server);
        var moments = new List<(Lsn At, TrueState State)>();
        foreach (var change in new[]
        {
            "SELECT 1",
            "UPDATE accounts SET balance = balance + 10, extra = NULL WHERE id % 3 = 0; INSERT INTO nothing DEFAULT VALUES",
            "UPDATE deals SET id = id + 1000, at = 'won' WHERE id <= 50; DELETE FROM deals WHERE id BETWEEN 51 AND 60; DELETE FROM notes WHERE ctid IN (SELECT ctid FROM notes LIMIT 7)",
            "UPDATE visits SET day = day + 95 WHERE day < '2026-06-01'; UPDATE notes SET n = n + 1; TRUNCATE nothing",
            "BEGIN; UPDATE accounts SET name = name || ' ✓' WHERE id = 7; UPDATE accounts SET doc = 'short' WHERE id = 7; UPDATE accounts SET balance = 5 WHERE id = 7; COMMIT",
        })
        {
            await source.CrmAsync(change);
            await vault.TakeStreamAsync();
            moments.Add((await vault.NowAsync(), await TrueState.OfAsync(source.ConnectionString)));
        }
        await vault.TakeStreamAsync();

        foreach (var (at, state) in moments)
        {
            await using var target = new DroppedDatabase(postgres.Server);
            var report = await RestoreAsync(vault, new RestoreOptions { To = new RestoreTarget.AtLsn(at), Target = target.ConnectionString, Verify = true });

            Assert.Empty(report.Violations);
            Assert.True(report.Verified);
            Assert.Equal(ExitCode.Done, report.ExitCode);
            Assert.Empty((await TrueState.OfAsync(target.ConnectionString)).DifferencesFrom(state));
            Assert.Equal(await SchemaOfAsync(source.ConnectionString), await SchemaOfAsync(target.ConnectionString));
        }
    }

    [Fact]
    public async Task Tables_come_back_beside_the_existing_ones_or_in_their_place()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync(Crm);
        await using var vault = await HandMadeVault.CreateAsync(source, postgres.Server);
        var before = await TrueState.OfAsync(source.ConnectionString);
        var at = new RestoreTarget.AtLsn(await vault.NowAsync());
        await source.CrmAsync("DELETE FROM deals; UPDATE accounts SET name = 'gone'");
        await vault.TakeStreamAsync();
        var options = new RestoreOptions { To = at, Target = source.ConnectionString, Tables = ["public.deals", "accounts"], Verify = true };

        var beside = await RestoreAsync(vault, options);
        var name = beside.Tables.Single(table => table.Table == "public.deals").RestoredAs;
        Assert.StartsWith("public.deals_restored_", name);
        Assert.Equal(300, await source.AskAsync<long>($"SELECT count(*) FROM {name}"));
        Assert.Equal(0, await source.AskAsync<long>("SELECT count(*) FROM public.deals"));
        var accounts = beside.Tables.Single(table => table.Table == "public.accounts").RestoredAs;
        Assert.Equal(300, await source.AskAsync<long>($"SELECT count(*) FROM {accounts} WHERE upper_name = upper(name) AND name LIKE 'account %'"));
        Assert.Equal("ALWAYS", await source.AskAsync<string>($"SELECT is_generated::text FROM information_schema.columns WHERE table_name = '{accounts[7..]}' AND column_name = 'upper_name'"));

        var row = await RestoreAsync(vault, options with { Tables = ["accounts"], Where = [ColumnEquality.Parse("id=7")], Replace = true });
        Assert.Equal(1, row.Rows);
        Assert.Equal("account 7", await source.AskAsync<string>("SELECT name FROM public.accounts WHERE id = 7"));
        Assert.Equal("gone", await source.AskAsync<string>("SELECT name FROM public.accounts WHERE id = 8"));

        await RestoreAsync(vault, options with { Replace = true });
        var after = await TrueState.OfAsync(source.ConnectionString);
        Assert.Equal(before.Tables["public.deals"], after.Tables["public.deals"]);
        Assert.Equal(before.Tables["public.accounts"], after.Tables["public.accounts"]);
    }

    [Fact]
    public async Task Replacing_rows_that_others_point_to_is_refused()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync(Crm);
        await using var vault = await HandMadeVault.CreateAsync(source, postgres.Server);
        var at = new RestoreTarget.AtLsn(await vault.NowAsync());
        await source.CrmAsync("INSERT INTO accounts (name) VALUES ('new'); INSERT INTO deals (account_id) SELECT max(id) FROM accounts");
        await vault.TakeStreamAsync();

        var refused = await Assert.ThrowsAsync<RefusedException>(() => RestoreAsync(vault,
            new RestoreOptions { To = at, Target = source.ConnectionString, Tables = ["public.accounts"], Replace = true }));

        Assert.Contains("deals_account_id_fkey", refused.Message);
        Assert.Equal(301, await source.AskAsync<long>("SELECT count(*) FROM public.accounts"));
        Assert.Equal(0, await source.AskAsync<long>("SELECT count(*) FROM pg_class WHERE relname LIKE '%\\_restored\\_%'"));
    }

    [Fact]
    public async Task A_statement_that_the_target_does_not_take_is_listed_and_the_rest_goes_on()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync(Crm);
        await using var vault = await HandMadeVault.CreateAsync(source, postgres.Server, "\nCREATE UNIQUE INDEX twice ON public.notes (n);");
        await using var target = new DroppedDatabase(postgres.Server);

        var report = await RestoreAsync(vault, new RestoreOptions { To = new RestoreTarget.Latest(), Target = target.ConnectionString });

        var violation = Assert.Single(report.Violations);
        Assert.Contains("CREATE UNIQUE INDEX twice", violation.Statement);
        Assert.Equal("23505", violation.SqlState);
        Assert.Equal(ExitCode.Failed, report.ExitCode);
        Assert.Equal(300L, await postgres.Server.ExecuteAsync("SELECT count(*) FROM deals", target.Name));
    }

    [Fact]
    public async Task A_damaged_segment_stops_the_restore_and_leaves_nothing_behind()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync(Crm);
        await using var vault = await HandMadeVault.CreateAsync(source, postgres.Server);
        var path = Path.Combine(vault.Vault.Medium.Location, vault.Vault.State.Segments.Keys.First());
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await using (var file = new FileStream(path, FileMode.Open))
        {
            file.Position = file.Length / 2;
            var old = file.ReadByte();
            file.Position--;
            file.WriteByte((byte)(old ^ 1));
        }
        await using var target = new DroppedDatabase(postgres.Server);

        var damaged = await Assert.ThrowsAsync<DifferenceException>(() => RestoreAsync(vault,
            new RestoreOptions { To = new RestoreTarget.Latest(), Target = target.ConnectionString }));

        Assert.Equal(ExitCode.Difference, damaged.ExitCode);
        Assert.Equal(0L, await postgres.Server.ExecuteAsync($"SELECT count(*) FROM pg_database WHERE datname = '{target.Name}'"));
    }

    [Fact]
    public async Task The_source_and_a_database_that_holds_something_are_no_targets()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("CREATE TABLE t (id int PRIMARY KEY)");
        await using var vault = await HandMadeVault.CreateAsync(source, postgres.Server);
        var options = new RestoreOptions { To = new RestoreTarget.Latest(), Target = source.ConnectionString };

        Assert.Contains("is the source itself", (await Assert.ThrowsAsync<RefusedException>(() => RestoreAsync(vault, options))).Message);
        await using var other = new DroppedDatabase(postgres.Server);
        await postgres.Server.ExecuteAsync($"CREATE DATABASE {other.Name}");
        await postgres.Server.ExecuteAsync("CREATE TABLE there (id int)", other.Name);
        var refused = await Assert.ThrowsAsync<RefusedException>(() => RestoreAsync(vault, options with { Target = other.ConnectionString }));
        Assert.Contains("public.there", refused.Message);
        var dry = await RestoreAsync(vault, options with { Target = postgres.Server.ConnectionString("not_there"), DryRun = true });
        Assert.Single(dry.Tables);
        Assert.Equal(0L, await postgres.Server.ExecuteAsync("SELECT count(*) FROM pg_database WHERE datname = 'not_there'"));
    }

    static Task<RestoreReport> RestoreAsync(HandMadeVault vault, RestoreOptions options) =>
        new Restorer(vault.Vault, TimeProvider.System, NullLogger.Instance).RunAsync(options, null, default);

    /// <summary>Everything that is not rows, in words; ours left out.</summary>
    static async Task<string> SchemaOfAsync(string connectionString)
    {
        await using var connection = await SourceConnection.OpenAsync(connectionString, default);
        await using var command = new NpgsqlCommand("""
            SELECT string_agg(line, E'\n' ORDER BY line) FROM (
              SELECT pg_describe_object('pg_class'::regclass, c.oid, 0) || coalesce(' -- ' || obj_description(c.oid, 'pg_class'), '') AS line
                FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
              UNION ALL SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid > 0
              UNION ALL SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT tgisinternal AND tgrelid::regclass::text !~ '^crmbackup'
              UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid::regclass::text ~ '^public'
              UNION ALL SELECT attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod) || attidentity::text || attgenerated::text
                FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE c.relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
            ) lines
            """, connection);
        return (string)(await command.ExecuteScalarAsync())!;
    }

    /// <summary>A name for a database that is gone after the test.</summary>
    sealed class DroppedDatabase(PostgresServer server) : IAsyncDisposable
    {
        public string Name { get; } = $"restored_{Guid.NewGuid().ToString("n")[..8]}";

        public string ConnectionString => server.ConnectionString(Name);

        public async ValueTask DisposeAsync() => await server.ExecuteAsync($"DROP DATABASE IF EXISTS {Name} WITH (FORCE)");
    }
}
