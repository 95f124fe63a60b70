using System.Diagnostics;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("postgres")]
public sealed class LongSettleTests(PostgresFixture postgres, ITestOutputHelper output)
{
    [Fact]
    public async Task A_settle_that_takes_longer_than_a_second_beside_a_running_archive_ends()
    {
        await using var crm = await Protected.InitAsync(postgres.Server, null, await postgres.Server.CreateDatabaseAsync("long"));
        await crm.ExecuteAsync("CREATE TABLE t (id serial PRIMARY KEY, doc text)");
        crm.Start();
        await crm.ProtectingAsync();
        var run = crm.Processes["run"];
        // As many rows as this machine needs for it: the archive looks at what else lies beside the job's files every second.
        for (var rows = 200_000; ; rows *= 2)
        {
            Assert.True(rows < 10_000_000, "no settle ever took so long");
            var before = Jobs("[4461]");
            await crm.ExecuteLongAsync($"INSERT INTO t (doc) SELECT md5(i::text) FROM generate_series(1, {rows}) i");
            await crm.WaitAsync(180);
            var settle = Crmbackup.RunAsync("settle", "--now", "--vault", crm.Vault, "--timeout", "2min");
            await Eventually.TrueAsync(() => Jobs("[4460]") > before, TimeSpan.FromSeconds(60), "the job to begin");
            var took = Stopwatch.StartNew();
            await Eventually.TrueAsync(() => Jobs("[4461]") > before, TimeSpan.FromSeconds(120), "the job to end");
            took.Stop();
            (await settle).MustBe(0);
            output.WriteLine($"{rows} rows were settled in {took.Elapsed.TotalSeconds:0.0} s");
            if (took.Elapsed > TimeSpan.FromSeconds(1.5))
                break;
        }
        Assert.DoesNotContain("is given out again", run.Errors);
        await crm.StopAsync();
        (await Crmbackup.RunAsync("verify", "--vault", crm.Vault)).MustBe(0);

        int Jobs(string number) => run.Errors.Split('\n').Count(line => line.Contains(number, StringComparison.Ordinal));
    }
}
