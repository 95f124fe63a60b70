using CrmBackup.Cdc.EndToEnd.Sql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>The main job over both transports: protect under load, restore to recorded moments, compare with what PostgreSQL itself said.</summary>
[Collection("main job")]
public sealed class MainJobTests(PostgresFixture postgres, RabbitFixture rabbit, ITestOutputHelper output)
{
    const int Moments = 20;

    [Theory]
    [InlineData(Transport.Embedded)]
    [InlineData(Transport.Broker)]
    public async Task Every_recorded_moment_is_restored_exactly_by_lsn_and_by_time_and_DuckDB_reads_the_same(Transport transport)
    {
        var database = await CrmSample.CreateDatabaseAsync(postgres.Server);
        await postgres.Server.ExecuteAsync(Reshaping.Begin, database);
        await using var crm = await Protected.InitAsync(postgres.Server, transport == Transport.Broker ? rabbit.Server : null, database);
        await using var clients = await Clients.StartAsync(crm, postgres.Server);
        crm.Start();
        var early = await TrueState.RecordAsync(crm.Source);
        await crm.ProtectingAsync();
        var moments = new List<TrueState>();
        var asked = new HashSet<TrueState>();
        string? uncovered = null;
        for (var until = DateTime.UtcNow.AddSeconds(30); moments.Count < Moments || DateTime.UtcNow < until;)
        {
            var day = moments.Count % (Moments / Reshaping.Days.Count) == 1 && asked.Count < Reshaping.Days.Count ? Reshaping.Days[asked.Count] : null;
            if (day is not null)
            {
                var said = await crm.ExecuteAsync(day);
                if (day == Reshaping.Rebasing)
                    uncovered = (string?)said;
                await crm.ProtectingAsync();
            }
            moments.Add(await TrueState.RecordAsync(crm.Source));
            if (day is not null)
                asked.Add(moments[^1]);
            await Task.Delay(TimeSpan.FromSeconds(1.3));
        }
        await clients.StopAsync();
        moments.Add(await TrueState.RecordAsync(crm.Source));
        asked.Add(moments[^1]);
        await crm.WaitAsync();
        var refused = await RefusedOrDoneAsync($"lsn:{early.Lsn}", "_early");
        Assert.True(refused.ExitCode is 0 or 3, refused.Errors);
        refused = await RefusedOrDoneAsync($"xid:{uncovered}", "_uncovered");
        Assert.True(refused.ExitCode == 3 && refused.Errors.Contains("public.files", StringComparison.Ordinal), $"{refused.ExitCode}: {refused.Output} {refused.Errors}");
        await crm.StopAsync();
        var orphans = await KilledSettleAsync(crm);
        Assert.True(orphans > 0, "no segment of a crash lies in the vault");
        (await Crmbackup.RunAsync("settle", "--now", "--vault", crm.Vault)).MustBe(0);
        var printed = await Crmbackup.RunAsync("sql", "--vault", crm.Vault);
        printed.MustBe(0);
        await EqualAsync(crm, moments.SelectMany(moment => new[] { ($"lsn:{moment.Lsn}", moment), (moment.Time.ToString("yyyy-MM-dd HH:mm:ss.ffffffzzz"), moment) }),
            async (database, moment) =>
            {
                if (!asked.Contains(moment))
                    return [];
                using var views = new PrintedViews(printed.Output);
                var differences = await views.DifferencesAsync(database, moment);
                if (moment != moments[^1])
                    return differences;
                Assert.Contains("beyond what is settled", Assert.ThrowsAny<Exception>(() => views.Texts("SELECT * FROM public.deals_at('FFFF/0')")).Message);
                // The text that lies in the vault says the same.
                using var beside = new PrintedViews(await File.ReadAllTextAsync(Directory.GetFiles(Path.Combine(crm.Vault, "sql")).Order(StringComparer.Ordinal).Last()));
                return [.. differences, .. await views.NewestDifferencesAsync(database, moment), .. await beside.NewestDifferencesAsync(database, moment)];
            });
        output.WriteLine($"{transport}: {moments.Count} moments, each by LSN and by time; {asked.Count} of them by DuckDB, {orphans} orphans in the vault");

        Task<Crmbackup.Result> RefusedOrDoneAsync(string to, string suffix) => Crmbackup.RunAsync("restore", "--vault", crm.Vault, "--to", to,
            "--target", postgres.Server.ConnectionString(crm.Database + suffix));
    }

    /// <summary>A settle that kills itself before its commit; gives the number of files that it left.</summary>
    static async Task<int> KilledSettleAsync(Protected crm)
    {
        int Files() => Directory.GetFiles(Path.Combine(crm.Vault, "tables"), "*.parquet", SearchOption.AllDirectories).Length;
        var before = Files();
        await using var killed = Crmbackup.Start(
            new Dictionary<string, string> { ["CRMBACKUP_FAILPOINT"] = "mid-settle" }, "settle", "--now", "--vault", crm.Vault);
        var ended = await killed.EndAsync(TimeSpan.FromSeconds(60));
        Assert.True(ended.ExitCode == 137, $"{ended.ExitCode}: {ended.Errors}");
        return Files() - before;
    }

    static Task EqualAsync(Protected crm, IEnumerable<(string To, TrueState Recorded)> moments, Func<string, TrueState, Task<IReadOnlyList<string>>>? alsoAsked = null) =>
        Parallel.ForEachAsync(moments, new ParallelOptions { MaxDegreeOfParallelism = 2 }, async (moment, _) =>
        {
            var database = await crm.RestoreAsync(moment.To);
            var differences = (await TrueState.OfAsync(database)).DifferencesFrom(moment.Recorded);
            Assert.True(differences is [], $"{moment.To}: {string.Join("; ", differences)}");
            if (alsoAsked is not null && moment.To.StartsWith("lsn:", StringComparison.Ordinal))
            {
                differences = await alsoAsked(database, moment.Recorded);
                Assert.True(differences is [], $"{moment.To} by DuckDB: {string.Join("; ", differences)}");
            }
            await crm.DropRestoredAsync(database);
        });
}
