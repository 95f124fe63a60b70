using System.Text.Json;
using Npgsql;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What is protected can be chosen, and chosen anew while <c>run</c> is at work; whatever is left out is said.</summary>
[Collection("servers")]
public sealed class ChosenTablesTests(PostgresFixture postgres)
{
    [Fact]
    public async Task A_table_added_is_based_at_once_and_one_removed_ends_its_coverage_and_all_of_it_is_said()
    {
        var database = await postgres.Server.CreateDatabaseAsync("chosen");
        await postgres.Server.ExecuteAsync("""
            CREATE TABLE kept (id integer PRIMARY KEY, v text); CREATE TABLE leaves (id integer PRIMARY KEY, v text);
            CREATE TABLE comes (id integer PRIMARY KEY, v text);
            INSERT INTO kept SELECT i, 'k' FROM generate_series(1, 100) i; INSERT INTO leaves SELECT i, 'l' FROM generate_series(1, 100) i;
            INSERT INTO comes SELECT i, 'c' FROM generate_series(1, 100) i
            """, database);
        await using var crm = await Protected.InitAsync(postgres.Server, null, database, "--table", "kept", "--table", "leaves");
        crm.Start("--flush", "300ms");
        await crm.ProtectingAsync();
        await crm.ExecuteAsync("UPDATE kept SET v = 'k2'; UPDATE leaves SET v = 'l2'; UPDATE comes SET v = 'c2'; SELECT crmbackup.mark('first')");
        await crm.WaitAsync();
        Assert.Equal(("k2 100", "l2 100", null), await RowsAsync(crm, "mark:first"));

        await ChooseAsync(crm, "kept", "comes");
        await BasedAsync(crm, "public.comes");
        await crm.ExecuteAsync("UPDATE kept SET v = 'k3'; UPDATE leaves SET v = 'l3'; UPDATE comes SET v = 'c3'; SELECT crmbackup.mark('second')");
        await crm.WaitAsync();
        Assert.Equal(("k3 100", null, "c3 100"), await RowsAsync(crm, "mark:second"));
        Assert.Equal(("k2 100", "l2 100", null), await RowsAsync(crm, "mark:first"));
        foreach (var verb in new[] { "check", "points" })
        {
            var said = await Crmbackup.RunAsync(verb == "check" ? [verb, "--source", crm.Source] : [verb, "--vault", crm.Vault]);
            Assert.Contains("leaves", said.Output);
            Assert.DoesNotContain("kept", verb == "check" ? "" : said.Output);
        }

        Assert.Contains("not protected: public.comes", await ReportAsync(crm, "mark:first"));
        Assert.Contains("not protected: public.leaves", await ReportAsync(crm, "mark:second"));

        // Chosen again: what happened meanwhile is in its new base, and no moment of the time between is pretended.
        await ChooseAsync(crm, "*");
        await BasedAsync(crm, "public.leaves");
        await crm.ExecuteAsync("DELETE FROM leaves WHERE id > 50; SELECT crmbackup.mark('third')");
        await crm.WaitAsync();
        Assert.Equal(("k3 100", "l3 50", "c3 100"), await RowsAsync(crm, "mark:third"));
        Assert.Equal(("k3 100", null, "c3 100"), await RowsAsync(crm, "mark:second"));
    }

    [Fact]
    public async Task A_row_filter_leaves_rows_out_and_is_said()
    {
        var database = await postgres.Server.CreateDatabaseAsync("filtered");
        await postgres.Server.ExecuteAsync("""
            CREATE TABLE events (id integer PRIMARY KEY, kind text NOT NULL); ALTER TABLE events REPLICA IDENTITY FULL;
            INSERT INTO events SELECT i, CASE WHEN i % 2 = 0 THEN 'debug' ELSE 'sale' END FROM generate_series(1, 100) i
            """, database);
        if ((int)(await postgres.Server.ExecuteAsync("SELECT current_setting('server_version_num')::integer"))! < 150000)
        {
            var init = (await Crmbackup.RunAsync("init", "--source", postgres.Server.ConnectionString(database), "--vault", Path.Combine(Path.GetTempPath(), database),
                "--rows", "public.events:kind <> 'debug'")).MustBe(2);
            Assert.Contains("row filters need PostgreSQL 15", init.Errors);
            return;
        }
        await using var crm = await Protected.InitAsync(postgres.Server, null, database, "--rows", "public.events:kind <> 'debug'");
        crm.Start("--flush", "300ms");
        await crm.ProtectingAsync();
        await crm.ExecuteAsync("INSERT INTO events VALUES (101, 'debug'), (102, 'sale'); UPDATE events SET kind = 'debug' WHERE id = 1; UPDATE events SET kind = 'sale' WHERE id = 2");
        await crm.WaitAsync();
        var restored = await crm.RestoreAsync("latest");
        var kinds = await AskAsync(restored, "SELECT string_agg(kind || ' ' || n, ', ') FROM (SELECT kind, count(*) n FROM events GROUP BY kind) t");
        Assert.Equal("sale 51", kinds);
        foreach (var verb in new[] { "check", "points" })
        {
            var said = await Crmbackup.RunAsync(verb == "check" ? [verb, "--source", crm.Source] : [verb, "--vault", crm.Vault]);
            Assert.True(said.Output.Contains("kind <> 'debug'", StringComparison.Ordinal), said.Output);
        }
        Assert.Contains("kind <> 'debug'", await ReportAsync(crm, "latest"));
    }

    static async Task<string> ReportAsync(Protected crm, string target)
    {
        var elsewhere = new NpgsqlConnectionStringBuilder(crm.Source) { Database = crm.Database + "_dry" }.ConnectionString;
        var report = await Crmbackup.RunAsync("restore", "--vault", crm.Vault, "--to", target, "--target", elsewhere, "--dry-run");
        report.MustBe(0);
        return report.Output;
    }

    static async Task ChooseAsync(Protected crm, params string[] tables) => (await Crmbackup.RunAsync(
        ["init", "--source", crm.Source, "--vault", crm.Vault, .. tables.SelectMany(table => new[] { "--table", table })])).MustBe(0);

    static Task BasedAsync(Protected crm, string table) => Eventually.TrueAsync(async () =>
    {
        await crm.WaitAsync();
        var points = await Crmbackup.RunAsync("points", "--vault", crm.Vault, "--output", "json");
        return JsonDocument.Parse(points.Output).RootElement.GetProperty("tables").EnumerateArray().Any(
            known => known.GetProperty("table").GetString() == table && known.GetProperty("current").GetBoolean());
    }, TimeSpan.FromSeconds(30), $"{table} to be based");

    /// <summary>The common value and the number of rows of the three tables; null where a table is not there, or has no row.</summary>
    static async Task<(string?, string?, string?)> RowsAsync(Protected crm, string target)
    {
        var restored = await crm.RestoreAsync(target);
        return (await OfAsync("kept"), await OfAsync("leaves"), await OfAsync("comes"));

        async Task<string?> OfAsync(string table) =>
            await AskAsync(restored, $"SELECT to_regclass('public.{table}')::text") is null ? null
                : await AskAsync(restored, $"SELECT min(v) || ' ' || count(*) FROM {table}");
    }

    /// <returns>Null for SQL's.</returns>
    static async Task<string?> AskAsync(string database, string sql)
    {
        await using var source = NpgsqlDataSource.Create(database);
        return await source.CreateCommand(sql).ExecuteScalarAsync() as string;
    }
}
