using CrmBackup.Cdc.Core;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

/// <summary>Constraints that the source's own rows violate: an index that does not hold what its table holds (as after a change of the
/// operating system's collations), a predicate that means something else now.</summary>
[Collection("postgres")]
public sealed class ViolatedTests(PostgresFixture postgres, ITestOutputHelper output)
{
    const string Sound = """
        CREATE FUNCTION counts(kind text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT kind = 'firm' $$;
        CREATE TABLE bookings (id integer PRIMARY KEY, kind text, during int4range, CONSTRAINT apart EXCLUDE USING gist (during WITH &&) WHERE (counts(kind)));
        CREATE TABLE people (id integer PRIMARY KEY, mail text CONSTRAINT mail_once UNIQUE, place integer CONSTRAINT place_once UNIQUE DEFERRABLE INITIALLY DEFERRED);
        CREATE TABLE letters (id integer PRIMARY KEY, mail text CONSTRAINT to_whom REFERENCES people (mail));
        CREATE INDEX letters_mail ON letters (mail);
        INSERT INTO people SELECT i, 'p' || i, i FROM generate_series(1, 50) i; INSERT INTO letters SELECT i, 'p' || i FROM generate_series(1, 50) i;
        INSERT INTO bookings SELECT i, 'firm', int4range(i * 10, i * 10 + 5) FROM generate_series(1, 20) i;
        """;

    static string Index(string constraint, bool whole) =>
        $"UPDATE pg_index SET indisready = {whole} WHERE indexrelid = '{constraint}'::regclass";

    [Fact]
    public async Task A_key_that_stands_for_two_rows_is_named_and_every_other_table_is_restored()
    {
        var database = await postgres.Server.CreateDatabaseAsync("violated");
        foreach (var script in new[] { "CREATE TABLE damaged (id integer CONSTRAINT damaged_key PRIMARY KEY, v text); CREATE TABLE sound (id integer PRIMARY KEY); INSERT INTO sound VALUES (1)",
            "INSERT INTO damaged VALUES (4711, 'first')", Index("damaged_key", whole: false), "INSERT INTO damaged VALUES (4711, 'second')", Index("damaged_key", whole: true) })
            await postgres.Server.ExecuteAsync(script, database);
        await using var crm = await Protected.InitAsync(postgres.Server, null, database);
        (await Crmbackup.RunAsync("run", "--once", "--source", crm.Source, "--vault", crm.Vault)).MustBe(0);
        var refused = (await Crmbackup.RunAsync("restore", "--to", "latest", "--vault", crm.Vault, "--target", postgres.Server.ConnectionString(database + "_no"))).MustBe(1);
        Assert.Contains("public.damaged has two rows with the key", refused.Errors);
        Assert.Contains("--table", refused.Errors);
        Assert.Equal(0L, await postgres.Server.ExecuteAsync($"SELECT count(*) FROM pg_database WHERE datname = '{database}_no'"));
        Assert.StartsWith("1 rows", (await TrueState.OfAsync(await crm.RestoreAsync("latest", "--table", "public.sound"))).Tables["public.sound"]);
        foreach (var script in new[] { "SET enable_indexscan = off; SET enable_bitmapscan = off; DELETE FROM damaged WHERE v = 'second'", "REINDEX TABLE damaged",
            "BEGIN; CREATE TEMP TABLE copied AS SELECT * FROM damaged; TRUNCATE damaged; INSERT INTO damaged SELECT * FROM copied; COMMIT" })
            await crm.ExecuteAsync(script);
        var recorded = await TrueState.OfAsync(crm.Source);
        (await Crmbackup.RunAsync("run", "--once", "--source", crm.Source, "--vault", crm.Vault)).MustBe(0);
        Assert.Empty((await TrueState.OfAsync(await crm.RestoreAsync("latest"))).DifferencesFrom(recorded));
    }

    [Fact]
    public async Task What_the_rows_violate_is_in_the_report_and_everything_else_is_restored()
    {
        await using var story = await Story.BeginAsync(postgres.Server, output, Sound);
        await story.ThenAsync("BEGIN; UPDATE people SET place = 51 - place; COMMIT", "UPDATE bookings SET during = int4range(1, 1000), kind = 'draft' WHERE id < 3");
        await story.ThenAsync("CREATE OR REPLACE FUNCTION counts(kind text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'",
            Index("mail_once", whole: false), Index("place_once", whole: false),
            "INSERT INTO people VALUES (100, 'p7', 7), (101, 'p7', 7)",
            Index("mail_once", whole: true), Index("place_once", whole: true));
        await story.Crm.ProtectingAsync();
        await story.RecordAsync();
        await story.MustComeBackAsync((number, _, report) =>
        {
            string[] violated = number == 0 ? [] : ["apart", "mail_once", "place_once", "to_whom"];
            var said = report.Violations.Select(violation => violation.Statement).ToList();
            foreach (var constraint in violated)
                Assert.Contains(said, statement => statement.Contains(constraint, StringComparison.Ordinal));
            Assert.Equal(violated.Length, said.Count);
            Assert.Equal(number == 0 ? ExitCode.Done : ExitCode.Failed, report.ExitCode);
            return Task.CompletedTask;
        });
    }
}
