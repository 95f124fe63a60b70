using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

/// <summary>DDL that changes the text of values and touches no row (rule 14): every moment before and after comes back, without a gap.</summary>
[Collection("postgres")]
public sealed class RetypingTests(PostgresFixture postgres, ITestOutputHelper output)
{
    const string Before = """
        CREATE TYPE stage AS ENUM ('lead', 'won "x"', 'lost'); CREATE TYPE address AS (street text, zip integer, stage stage);
        CREATE DOMAIN known_stage AS stage CHECK (VALUE <> 'lost'); CREATE TYPE stages AS RANGE (subtype = stage);
        CREATE TABLE deals (id integer PRIMARY KEY, at stage, kept known_stage, all_of stage[], span stages, spans stages[], lives address, lived address[], doc text);
        CREATE TABLE by_stage (at stage, id integer, n integer, PRIMARY KEY (at, id));
        CREATE TABLE by_address (a address PRIMARY KEY, n integer);
        CREATE TABLE whole (at stage, lives address, n integer);
        CREATE TABLE visits (at timestamp PRIMARY KEY, seen timestamp, ref integer, net cidr, n integer); CREATE TABLE visits_whole (LIKE visits);
        CREATE FUNCTION how() RETURNS integer LANGUAGE sql AS 'SELECT 1';
        ALTER TABLE deals ALTER doc SET STORAGE EXTERNAL;
        """;

    static string Rows(int first, string lead, string address) => $$"""
        INSERT INTO deals SELECT i, CASE i % 3 WHEN 0 THEN '{{lead}}' WHEN 1 THEN 'won "x"' END::stage, '{{lead}}', ARRAY['{{lead}}', NULL, 'won "x"', 'lost']::stage[],
          stages('{{lead}}', NULL), ARRAY[stages('{{lead}}', NULL), 'empty'], {{address}}, ARRAY[{{address}}, NULL], repeat(md5(i::text), 200)
          FROM generate_series({{first}}, {{first}} + 9) i;
        INSERT INTO by_stage SELECT s, {{first}}, 0 FROM unnest(enum_range(NULL::stage)) s;
        INSERT INTO by_address SELECT {{address}}, {{first}} WHERE NOT EXISTS (SELECT FROM by_address WHERE a = {{address}});
        INSERT INTO whole SELECT '{{lead}}', {{address}}, {{first}} FROM generate_series(1, 3);
        """;

    const string Visits = "INSERT INTO visits{0} VALUES ('2024-02-29 12:00:00.5', 'infinity', -1, '10.1.2.3/32', 1), ('0044-03-15 01:00:00 BC', NULL, 7, '10.0.0.0/8', 2), ('-infinity', NULL, 2147483647, '::1/128', 3);";

    [Fact]
    public async Task Values_whose_text_a_ddl_changed_come_back_at_every_moment()
    {
        var visits = Visits.Replace("{0}", "", StringComparison.Ordinal) + Visits.Replace("{0}", "_whole", StringComparison.Ordinal);
        await using var story = await Story.BeginAsync(postgres.Server, output, Before, Rows(0, "lead", "row('a, \"b\"', 1, 'lead')::address") + visits);
        await story.ThenAsync(Rows(100, "lead", "row('é', NULL, NULL)::address"));
        // Renamed, as a key too; then rows that the base brought are changed and deleted under the new label.
        await story.ThenAsync("ALTER TYPE stage RENAME VALUE 'lead' TO 'open, \"new\"'");
        await story.ThenAsync("UPDATE by_stage SET n = n + 1 WHERE id = 0; DELETE FROM by_stage WHERE at = 'open, \"new\"' AND id = 100; UPDATE deals SET at = 'lost' WHERE id < 5",
            "DELETE FROM whole WHERE ctid IN (SELECT ctid FROM whole WHERE n = 0 LIMIT 2)", Rows(200, "open, \"new\"", "row('c', 3, 'open, \"new\"')::address"));
        // In one transaction, with rows before and after it; the old label comes to mean another.
        await story.ThenAsync("""
            INSERT INTO by_stage VALUES ('lost', 300, 1); ALTER TYPE stage RENAME VALUE 'lost' TO 'gone'; UPDATE by_stage SET n = n + 10 WHERE at = 'gone';
            ALTER TYPE stage RENAME VALUE 'won "x"' TO 'lost'; UPDATE deals SET kept = 'lost' WHERE id % 2 = 0; DELETE FROM by_stage WHERE at = 'lost' AND id = 0
            """);
        await story.ThenAsync("ALTER TYPE address ADD ATTRIBUTE country text", "UPDATE deals SET lives.country = 'AT' WHERE id % 3 = 0; DELETE FROM by_address WHERE n = 0",
            "ALTER TYPE address DROP ATTRIBUTE zip", "UPDATE by_address SET n = n + 1; UPDATE whole SET n = n + 1");
        await story.ThenAsync("ALTER TYPE stage ADD VALUE 'lead' BEFORE 'lost'", "INSERT INTO by_stage VALUES ('lead', 400, 0); UPDATE whole SET at = 'lead' WHERE n > 100");
        // A writer that is under way meanwhile still wrote the old label, and commits after.
        await using (var writer = new Npgsql.NpgsqlConnection(story.Crm.Source + ";Pooling=false"))
        {
            await writer.OpenAsync();
            await SourceDatabase.ExecuteAsync(writer, "BEGIN; INSERT INTO by_stage VALUES ('gone', 500, 0); INSERT INTO deals (id, at, all_of) VALUES (500, 'gone', ARRAY['gone']::stage[])");
            await story.Crm.ExecuteAsync("ALTER TYPE stage RENAME VALUE 'gone' TO 'lost for good'");
            await SourceDatabase.ExecuteAsync(writer, "INSERT INTO by_stage VALUES ('lost for good', 501, 0); COMMIT");
        }
        await story.ThenAsync("UPDATE by_stage SET n = 7 WHERE id >= 500");
        await story.ThenAsync("SET timezone = 'UTC'; ALTER TABLE visits ALTER at TYPE timestamptz, ALTER seen TYPE timestamptz, ALTER ref TYPE oid, ALTER net TYPE inet; "
            + "ALTER TABLE visits_whole ALTER at TYPE timestamptz, ALTER ref TYPE oid, ALTER net TYPE inet");
        await story.ThenAsync("UPDATE visits SET n = n + 1; DELETE FROM visits WHERE at = '-infinity'; UPDATE visits_whole SET n = n + 1; DELETE FROM visits_whole WHERE n = 4");
        var gapless = (await Crmbackup.RunAsync("points", "--vault", story.Crm.Vault)).Output;
        Assert.DoesNotContain("was changed", gapless);
        // What a reg* value names is renamed: a gap of that table, closed by a base of itself.
        await story.ThenAsync("CREATE TABLE named (id integer PRIMARY KEY, what regclass, how regprocedure)",
            "INSERT INTO named VALUES (1, 'deals', 'how()'), (2, 'by_stage', NULL)", "ALTER TABLE deals ADD more text; ALTER TYPE stage ADD VALUE 'last'");
        await story.SchemaStoredAsync();
        await story.Crm.ExecuteAsync("ALTER TABLE by_stage RENAME TO by_stage_and_id; ALTER FUNCTION how RENAME TO so");
        await story.Crm.WaitAsync();
        await story.Crm.ProtectingAsync();
        await story.ThenAsync("UPDATE named SET id = id + 10");
        await story.MustComeBackAsync();
    }

    /// <summary>An attribute dropped and another added leave as many as before, and a label can come to mean another one. What a transaction under
    /// way wrote before, the server tells as the types were then, or as they are now where it has decoded something younger meanwhile.</summary>
    [Fact]
    public async Task What_a_writer_wrote_before_its_types_changed_is_a_gap_until_it_is_read_again()
    {
        await using var story = await Story.BeginAsync(postgres.Server, output, """
            CREATE TYPE place AS (street text, zip text); CREATE TYPE step AS ENUM ('first', 'second', 'third');
            CREATE TABLE sites (id integer PRIMARY KEY, at place, many place[], step step); CREATE TABLE sites_whole (LIKE sites);
            CREATE TABLE by_step (step step PRIMARY KEY, n integer); INSERT INTO by_step VALUES ('first', 1), ('second', 2);
            """);
        await using (var writer = new Npgsql.NpgsqlConnection(story.Crm.Source + ";Pooling=false"))
        {
            await writer.OpenAsync();
            await SourceDatabase.ExecuteAsync(writer, $"BEGIN; {Sites(1, "a', '1")}; UPDATE by_step SET n = 10 WHERE step = 'first'");
            await story.Crm.ExecuteAsync("ALTER TYPE place DROP ATTRIBUTE zip; ALTER TYPE place ADD ATTRIBUTE city text");
            await SourceDatabase.ExecuteAsync(writer, Sites(2, "b', 'B"));
            await story.Crm.ExecuteAsync("ALTER TYPE step RENAME VALUE 'first' TO 'old'; ALTER TYPE step RENAME VALUE 'second' TO 'first'");
            await story.Crm.ExecuteAsync($"{Sites(5, "e', 'E")}; UPDATE by_step SET n = 20 WHERE step = 'first'");
            await SourceDatabase.ExecuteAsync(writer, $"{Sites(3, "c', 'C")}; COMMIT");
        }
        await story.Crm.WaitAsync();
        Assert.Contains("a type of public.sites was changed while rows of it were being written", (await Crmbackup.RunAsync("points", "--vault", story.Crm.Vault)).Output);
        await story.Crm.ProtectingAsync();
        await story.ThenAsync(Sites(4, "d', 'D"));
        await story.ThenAsync("UPDATE sites SET id = id + 10; UPDATE sites_whole SET id = id + 10");
        await story.MustComeBackAsync();

        static string Sites(int id, string place) => string.Join("; ", new[] { "sites", "sites_whole" }.Select(table =>
            $"INSERT INTO {table} VALUES ({id}, ROW('{place}')::place, ARRAY[ROW('{place}')::place, NULL], 'first')"));
    }

    /// <summary>Neither of two transactions sees what the other does: the one makes a table with a column of a type, the other changes that type.</summary>
    [Fact]
    public async Task A_table_made_while_its_type_is_changed_is_a_gap_until_it_is_read_and_no_value_of_the_wrong_shape()
    {
        // A transaction of another database that is older than our archive makes every snapshot old: a gap too many.
        await using var alone = await PostgresServer.StartAsync();
        await using var story = await Story.BeginAsync(alone, output, "CREATE TYPE pair AS (x integer, y text); CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE t (id integer PRIMARY KEY)");
        await story.ThenAsync("INSERT INTO t VALUES (1)");
        foreach (var (number, tableFirst) in new[] { true, false }.Index())
        {
            await using var maker = await OpenAsync(story.Crm.Source);
            await using var changer = await OpenAsync(story.Crm.Source);
            await SourceDatabase.ExecuteAsync(maker, $"BEGIN; CREATE TABLE made_{number} (id integer PRIMARY KEY, one pair, many pair[], how mood)");
            await SourceDatabase.ExecuteAsync(changer, $"BEGIN; ALTER TYPE pair ADD ATTRIBUTE z{number} text; ALTER TYPE mood RENAME VALUE 'a{(number == 0 ? "" : "0")}' TO 'a{number}'");
            foreach (var session in tableFirst ? new[] { maker, changer } : [changer, maker])
                await SourceDatabase.ExecuteAsync(session, "COMMIT");
            await story.Crm.ExecuteAsync($"INSERT INTO made_{number} SELECT i, row(i, 'y'{string.Concat(Enumerable.Repeat(", 'z'", number + 1))})::pair, ARRAY[row(i, NULL{string.Concat(Enumerable.Repeat(", NULL", number + 1))})::pair], 'a{number}' FROM generate_series(1, 20) i");
            await story.SchemaStoredAsync();
            await story.Crm.ProtectingAsync();
            await story.ThenAsync($"UPDATE made_{number} SET how = 'b' WHERE id % 2 = 0");
        }
        await story.MustComeBackAsync();
    }

    static async Task<Npgsql.NpgsqlConnection> OpenAsync(string source)
    {
        var connection = new Npgsql.NpgsqlConnection(source + ";Pooling=false");
        await connection.OpenAsync();
        return connection;
    }
}
