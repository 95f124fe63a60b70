using System.Globalization;
using CrmBackup.Cdc.EndToEnd;
using DuckDB.NET.Data;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>From a commit on the source until the vault's commit that holds it can be seen, at 2,000 row changes a second. The source's
/// commit times are read out of the log segments by DuckDB; the clock is the same. Row <c>lag</c>.</summary>
static class Lag
{
    const int TransactionsPerSecond = 200;
    const int RowsPerTransaction = 10;
    const int Seconds = 40;

    public static async Task MeasureAsync(Bench bench)
    {
        var source = await Source.CrmAsync(bench, 0.1);
        await source.ProtectAsync();
        await using var rabbit = await RabbitServer.StartAsync();
        foreach (var (name, broker, flush, most) in new[]
        {
            ("embedded, flush 1 s", false, "1s", 1.25 + 0.15), ("through RabbitMQ, flush 1 s", true, "1s", 1.25 + 0.2), ("embedded, flush 50 ms", false, "50ms", 0.25),
        })
        {
            List<double> median = [], high = [];
            await bench.RoundsAsync(async _ =>
            {
                var lags = await LagsAsync(bench, source, broker ? rabbit : null, flush);
                lags.Sort();
                median.Add(lags[lags.Count / 2] * 1000);
                high.Add(lags[(int)(lags.Count * 0.99)] * 1000);
            });
            bench.Report.Add("lag", $"{name}: p50", "ms", median);
            bench.Report.Add("lag", $"{name}: p99", "ms", high, Limit.Most(most * 1000));
        }
    }

    /// <returns>Of each transaction, in seconds.</returns>
    static async Task<List<double>> LagsAsync(Bench bench, Source source, RabbitServer? rabbit, string flush)
    {
        await source.SetBackAsync();
        var seconds = Math.Max(5, (int)(Seconds * Math.Min(1, bench.Options.Scale)));
        var script = Path.Combine(bench.Folder, "lag.sql");
        await File.WriteAllTextAsync(script, $"INSERT INTO leads (company, person, source) SELECT 'Lag', 'Person ' || i, 'web' FROM generate_series(1, {RowsPerTransaction}) i;\n");
        var settings = new Dictionary<string, string>();
        if (rabbit is not null)
            settings["CRMBACKUP__BROKER"] = rabbit.AmqpUri.ToString();
        var watch = new VaultWatch(source.Vault);
        await using var archive = source.Start(settings, rabbit is null ? "run" : "archive", "--quiet", "--flush", flush);
        await using var capture = rabbit is null ? null : source.Start(settings, "capture", "--quiet");
        await source.WalSenderAsync(source.Slot, capture ?? archive);
        // What was written for the rounds before comes first.
        await source.CrmbackupAsync("wait", "--timeout", "300s");
        var mark = $"lag {Guid.NewGuid():N}";
        var begin = DateTimeOffset.UtcNow;
        var seeing = watch.UntilMarkAsync(mark, archive);
        await bench.ToolAsync("pgbench", "-n", "-c", "4", "-j", "1", "-T", $"{seconds}", "-R", $"{TransactionsPerSecond}", "-f", script, source.Database);
        await bench.Server.ExecuteAsync($"SELECT crmbackup.mark('{mark}')", source.Database);
        await seeing;
        if (capture is not null)
            await capture.StopAsync();
        await archive.StopAsync();
        var lags = await ReadAsync(source, watch, begin);
        var wanted = TransactionsPerSecond * seconds;
        return lags.Count >= wanted * 0.9 ? lags
            : throw new InvalidOperationException($"{lags.Count} transactions stand in the vault, about {wanted} were to come");
    }

    static async Task<List<double>> ReadAsync(Source source, VaultWatch watch, DateTimeOffset begin)
    {
        await using var duck = new DuckDBConnection("DataSource=:memory:");
        await duck.OpenAsync();
        var lags = new List<double>();
        foreach (var (path, seen) in watch.Logs)
        {
            await using var command = duck.CreateCommand();
            command.CommandText = string.Create(CultureInfo.InvariantCulture,
                $"SELECT any_value(commit_time) FROM '{Path.Combine(source.Vault, path)}' GROUP BY commit_lsn HAVING count(*) = {RowsPerTransaction}");
            await using var reader = await command.ExecuteReaderAsync();
            while (await reader.ReadAsync())
                if (reader.GetInt64(0) is var committed && committed >= begin.ToUnixTimeMilliseconds() * 1000)
                    lags.Add((seen - DateTimeOffset.UnixEpoch).TotalSeconds - committed / 1e6);
        }
        return lags;
    }
}
