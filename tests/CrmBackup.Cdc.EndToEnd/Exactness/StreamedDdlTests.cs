using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

/// <summary>DDL in the middle of a transaction that the server streams before it commits: the same table's rows have several shapes in it,
/// and some of them were never true.</summary>
[Collection("postgres")]
public sealed class StreamedDdlTests(PostgresFixture postgres, ITestOutputHelper output)
{
    /// <summary>Rows of 6.5 kB that nothing compresses: few of them reach the 64 MB from which on a transaction is streamed.</summary>
    const string Deals = """
        CREATE TABLE deals (id integer PRIMARY KEY, n integer, gone text, note text); ALTER TABLE deals ALTER note SET STORAGE PLAIN;
        INSERT INTO deals SELECT i, i, 'g' || i, repeat(md5(i::text), 200) FROM generate_series(1, 30) i;
        """;

    static string Rows(string columns, string values, int first, int last) =>
        $"INSERT INTO deals ({columns}) SELECT {values} FROM generate_series({first}, {last}) i";

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_table_changed_inside_a_streamed_transaction_comes_back_at_each_moment_before_and_after(bool prepared)
    {
        await using var story = await Story.BeginAsync(postgres.Server, output, Deals);
        await story.RecordAsync();
        await using (var large = new NpgsqlConnection(story.Crm.Source + ";Pooling=false;Command Timeout=120"))
        {
            await large.OpenAsync();
            Task DoAsync(params string[] statements) => SourceDatabase.ExecuteAsync(large, string.Join("; ", statements));
            await DoAsync("BEGIN", Rows("id, n, gone, note", "i, i, 'g', repeat(md5(i::text), 200)", 100, 1500));
            await story.ThenAsync("INSERT INTO deals VALUES (50, 5, 'beside', 'x'); UPDATE deals SET n = n + 1 WHERE id < 10", "DELETE FROM deals WHERE id = 3");
            await DoAsync("ALTER TABLE deals ADD kind text NOT NULL DEFAULT 'old'",
                "SAVEPOINT a", "ALTER TABLE deals ALTER n TYPE text USING 'void ' || n", "UPDATE deals SET n = 'void' WHERE id < 300", "ROLLBACK TO a",
                // Small still: its rows are sent again.
                "ALTER TABLE deals ALTER n TYPE bigint USING n * 10::bigint",
                Rows("id, n, gone, note", "i, i, 'h', repeat(md5(i::text), 200)", 2000, 11500),
                "SAVEPOINT b", "ALTER TABLE deals DROP COLUMN kind", Rows("id, n, gone, note", "i, 1, '', 'never'", 90000, 90100), "ROLLBACK TO b",
                "ALTER TABLE deals RENAME note TO remark", "ALTER TABLE deals DROP COLUMN gone",
                "ALTER TABLE deals ADD at timestamptz DEFAULT '2026-01-01 00:00+00'",
                "SAVEPOINT c", Rows("id, n, kind, remark", "i, -i, 'late', md5(i::text)", 20000, 20300), "SAVEPOINT d", "ALTER TABLE deals ADD never integer DEFAULT 1",
                "UPDATE deals SET never = 2 WHERE id > 20000", "ROLLBACK TO d", "RELEASE c",
                "UPDATE deals SET kind = 'new' WHERE id % 70 = 0", "ALTER TABLE deals RENAME TO bargains", "DELETE FROM bargains WHERE id % 11 = 0",
                "INSERT INTO bargains (id, n, remark) VALUES (30000, 1, 'last')", prepared ? $"PREPARE TRANSACTION '{story.Crm.Database}'" : "COMMIT");
            if (prepared)
                await DoAsync($"COMMIT PREPARED '{story.Crm.Database}'");
        }
        await Eventually.TrueAsync(async () => (long)(await story.Crm.ExecuteAsync(
            "SELECT stream_txns FROM pg_stat_replication_slots s JOIN crmbackup.settings k ON k.key = 'slot' AND k.value = s.slot_name"))! > 0,
            TimeSpan.FromSeconds(60), "the server to say that it has streamed");
        // Small ones, of several sessions at once, on what it left.
        await Task.WhenAll(Enumerable.Range(0, 4).Select(async session =>
        {
            for (var i = 0; i < 10; i++)
                await story.Crm.ExecuteAsync($"INSERT INTO bargains (id, n, kind, remark) VALUES ({40000 + session * 100 + i}, {i}, 's', 'small'); "
                    + $"UPDATE bargains SET n = n + 1, at = now() WHERE id = {2000 + session * 1000 + i}; DELETE FROM bargains WHERE id = {6000 + session * 1000 + i}");
        }));
        await story.RecordAsync();
        await story.ThenAsync("ALTER TABLE bargains ADD gone integer DEFAULT 7; UPDATE bargains SET gone = id WHERE id < 200", "DELETE FROM bargains WHERE id BETWEEN 3000 AND 3500");
        await story.MustComeBackAsync();
    }
}
