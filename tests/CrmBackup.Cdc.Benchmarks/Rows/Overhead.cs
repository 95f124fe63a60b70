using System.Globalization;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>What pgbench gets done while capture runs, against the same before <c>init</c>, on the same CPUs. Row <c>overhead</c>.</summary>
static class Overhead
{
    const int PgbenchScale = 50;
    const int Seconds = 30;

    readonly record struct Sample(double Tps, double P99, double WalBytes);

    public static async Task MeasureAsync(Bench bench)
    {
        var source = new Source(bench, await bench.Server.CreateDatabaseAsync("busy"));
        await bench.ToolAsync("pgbench", "-i", "-q", "-s", $"{Math.Max(1, bench.Options.Scaled(PgbenchScale))}", source.Database);
        List<Sample> before = [], with = [];
        await bench.RoundsAsync(async round =>
        {
            before.Add(await PgbenchAsync(bench, source));
            await source.InitAsync();
            await using (var run = source.Start(null, "run", "--quiet"))
            {
                await source.CrmbackupAsync("wait", "--protected", "--timeout", "300s");
                with.Add(await PgbenchAsync(bench, source));
                await source.CrmbackupAsync("wait", "--timeout", "300s");
                if (round == bench.Options.Samples)
                    await source.CrmbackupAsync("verify", "--source", source.Connection, "--timeout", "300s");
                await run.StopAsync();
            }
            await source.CrmbackupAsync("init", "--remove", "--yes");
            Directory.Delete(source.Vault, recursive: true);
        });
        var report = bench.Report;
        foreach (var (name, samples) in new[] { ("before init", before), ("with capture", with) })
        {
            report.Add("overhead", $"{name}: transactions", "/s", samples.Select(sample => sample.Tps));
            report.Add("overhead", $"{name}: p99 of a transaction", "ms", samples.Select(sample => sample.P99));
            report.Add("overhead", $"{name}: WAL per transaction", "bytes", samples.Select(sample => sample.WalBytes));
        }
        report.Add("overhead", "transactions with capture / before init", "×", with.Zip(before, (left, right) => left.Tps / right.Tps), Limit.Least(0.9));
    }

    static async Task<Sample> PgbenchAsync(Bench bench, Source source)
    {
        await bench.Server.ExecuteAsync("CHECKPOINT");
        var seconds = Math.Max(5, (int)(Seconds * Math.Min(1, bench.Options.Scale)));
        var log = Path.Combine(bench.NewFolder("pgbench"), "log");
        var from = (string)(await bench.Server.ExecuteAsync("SELECT pg_current_wal_insert_lsn()::text"))!;
        await bench.ToolAsync("pgbench", "-n", "-c", "8", "-j", "1", "-T", $"{seconds}", "-l", "--log-prefix", log, source.Database);
        var wal = (decimal)(await bench.Server.ExecuteAsync($"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{from}')"))!;
        // client, number, microseconds, script, …
        var latencies = Directory.GetFiles(Path.GetDirectoryName(log)!).SelectMany(File.ReadLines)
            .Select(line => double.Parse(line.Split(' ')[2], CultureInfo.InvariantCulture) / 1000).Order().ToList();
        return new Sample(latencies.Count / (double)seconds, latencies[(int)(latencies.Count * 0.99)], (double)wal / latencies.Count);
    }
}
