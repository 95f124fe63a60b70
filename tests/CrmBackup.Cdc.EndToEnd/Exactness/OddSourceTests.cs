using CrmBackup.Cdc.Core;
using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

/// <summary>Sources and writers that are not as most are: another encoding, rows that came by replication, commits that nobody waited for,
/// columns whose default came, changed and went.</summary>
[Collection("postgres")]
public sealed class OddSourceTests(PostgresFixture postgres, ITestOutputHelper output)
{
    [Fact]
    public async Task A_database_in_another_encoding_comes_back_character_by_character()
    {
        await using var story = await Story.BeginInAsync(postgres.Server, output, "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
            """
            CREATE TYPE größe AS ENUM ('klein', 'groß'); CREATE TABLE "Straßen" (nº integer PRIMARY KEY, name varchar(3), breite größe, art char(4), doc text);
            INSERT INTO "Straßen" SELECT i, 'äöü', 'groß', 'é', repeat('ÿ£', 3000) FROM generate_series(1, 20) i
            """);
        await story.ThenAsync("UPDATE \"Straßen\" SET name = 'ñ' WHERE nº % 2 = 0; INSERT INTO \"Straßen\" VALUES (100, 'ß', 'klein', 'à', chr(161) || chr(255))");
        await story.ThenAsync("ALTER TABLE \"Straßen\" RENAME name TO größter; ALTER TABLE \"Straßen\" ADD \"où\" text DEFAULT 'là'", "DELETE FROM \"Straßen\" WHERE nº < 5");
        await story.MustComeBackAsync();
    }

    [Fact]
    public async Task Rows_by_replication_commits_without_waiting_and_defaults_that_came_and_went_come_back()
    {
        await using var story = await Story.BeginAsync(postgres.Server, output,
            "CREATE TABLE t (id integer PRIMARY KEY, v text); INSERT INTO t SELECT i, 'first' FROM generate_series(1, 50) i",
            "CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER away FOREIGN DATA WRAPPER nowhere OPTIONS (a 'b'); CREATE FOREIGN TABLE far (id integer, v text) SERVER away OPTIONS (c 'd')");
        var origin = $"origin_{story.Crm.Database}";
        await story.Crm.ExecuteAsync($"SELECT pg_replication_origin_create('{origin}')");
        try
        {
            await story.ThenAsync($"""
                SELECT pg_replication_origin_session_setup('{origin}'); BEGIN; SELECT pg_replication_origin_xact_setup('0/1234', '2020-02-02 02:02:02+00');
                INSERT INTO t VALUES (100, 'replicated'); UPDATE t SET v = 'replicated too' WHERE id = 1; COMMIT; DELETE FROM t WHERE id = 2
                """, "SET session_replication_role = replica; INSERT INTO t VALUES (101, 'as a replica')");
            await story.ThenAsync("ALTER TABLE t ADD a integer DEFAULT 5, ADD b text DEFAULT 'b'; INSERT INTO t (id) VALUES (200)",
                "ALTER TABLE t ALTER a DROP DEFAULT, ALTER b SET DEFAULT 'later'; INSERT INTO t (id) VALUES (201)");
            await story.ThenAsync("ALTER TABLE t DROP COLUMN b; ALTER TABLE t ADD b integer DEFAULT 9; UPDATE t SET b = 1 WHERE id = 3; INSERT INTO t (id) VALUES (202)");
            await story.ThenAsync("SET synchronous_commit = off; INSERT INTO t VALUES (300, 'nobody waited'); UPDATE t SET v = 'nor here' WHERE id = 4");
            await story.MustComeBackAsync(async (_, database, report) =>
            {
                await using var connection = new NpgsqlConnection(database + ";Pooling=false");
                await connection.OpenAsync();
                await using var far = new NpgsqlCommand("SELECT array_to_string(ftoptions || srvoptions, ',') FROM pg_foreign_table JOIN pg_foreign_server s ON s.oid = ftserver WHERE ftrelid = 'far'::regclass", connection);
                Assert.Equal("c=d,a=b", await far.ExecuteScalarAsync());
                Assert.Contains(report.Fidelity, line => line.What.Contains("public.far", StringComparison.Ordinal) && line.Fidelity == Fidelity.Approximate);
            });
        }
        finally
        {
            await postgres.Server.ExecuteAsync($"SELECT pg_replication_origin_drop('{origin}')");
        }
    }
}
