using CrmBackup.Cdc.EndToEnd;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>A slot with a backlog, read until its last transaction stands in a commit of the vault, against <c>pg_recvlogical</c> that
/// throws the same backlog away. Rows <c>drain</c>, <c>drain-tiny</c>, <c>drain-broker</c> and <c>cost</c>.</summary>
static class Drain
{
    const string Mark = "drained";
    public const int Changes = 1_500_000;
    const int TinyTransactions = 200_000;
    const int MessagesMax = 10;
    /// <summary>So long that it never comes while something is measured.</summary>
    static readonly Dictionary<string, string> _settleOff = new()
    {
        ["CRMBACKUP__SETTLE__EVERY"] = "24h",
        ["CRMBACKUP__SETTLE__BYTES"] = $"{1L << 40}",
        ["CRMBACKUP__SETTLE__JOBBYTESMAX"] = $"{1L << 40}",
    };

    /// <param name="Seconds">From the start of the process.</param>
    /// <param name="Cpu">Of our processes.</param>
    /// <param name="Sender">CPU-seconds of the walsender.</param>
    readonly record struct Sample(double Seconds, double Cpu, double Sender);

    public static async Task CrmAsync(Bench bench)
    {
        var source = await Source.CrmAsync(bench, bench.Options.Scale);
        await source.ProtectAsync();
        var changes = await source.WorkAsync(bench.Options.Scaled(Changes), Mark);
        var end = await EndAsync(bench, source);
        List<Sample> read = [], off = [], on = [], broker = [];
        var cost = new List<(double Archived, double Settled, double Millions)>();
        await using var rabbit = bench.Options.Rows.Contains("drain-broker") ? await RabbitServer.StartAsync() : null;
        await bench.RoundsAsync(async _ =>
        {
            read.Add(await RecvLogicalAsync(bench, source, end));
            off.Add(await EmbeddedAsync(source, changes, _settleOff));
            if (rabbit is not null)
                broker.Add(await BrokerAsync(source, rabbit, changes));
            if (!bench.Options.Rows.Contains("drain") && !bench.Options.Rows.Contains("cost"))
                return;
            var settled = 0.0;
            on.Add(await EmbeddedAsync(source, changes, [], async run =>
            {
                await source.CrmbackupAsync("settle", "--now");
                settled = run.CpuSeconds;
            }));
            cost.Add((off[^1].Cpu, settled, changes / 1e6));
        });
        Bench.Say("comparing the vault with the source");
        await source.CrmbackupAsync("verify");
        await using (var run = source.Start(null, "run"))
        {
            await source.CrmbackupAsync("verify", "--source", source.Connection, "--timeout", "600s");
            await run.StopAsync();
        }
        var report = bench.Report;
        report.Add("drain", "pg_recvlogical", "rows/s", read.Select(sample => changes / sample.Seconds));
        report.Add("drain", "settle off", "rows/s", off.Select(sample => changes / sample.Seconds));
        report.Add("drain", "settle off / pg_recvlogical", "×", Ratios(read, off), Limit.Least(1.0));
        if (broker.Count > 0)
            report.Add("drain-broker", "through RabbitMQ / embedded", "×", Ratios(off, broker), Limit.Least(0.8));
        if (on.Count == 0)
            return;
        report.Add("drain", "settle on", "rows/s", on.Select(sample => changes / sample.Seconds));
        report.Add("drain", "settle on / pg_recvlogical", "×", Ratios(read, on));
        report.Add("cost", "pg_recvlogical's walsender", "CPU-s per million", read.Select(sample => sample.Sender / (changes / 1e6)));
        report.Add("cost", "our walsender", "CPU-s per million", off.Select(sample => sample.Sender / (changes / 1e6)));
        report.Add("cost", "archived", "CPU-s per million", cost.Select(sample => sample.Archived / sample.Millions));
        report.Add("cost", "archived, settled and cross-read", "CPU-s per million", cost.Select(sample => sample.Settled / sample.Millions));
        report.Add("cost", "archived / our walsender", "×", off.Select(sample => sample.Cpu / sample.Sender), Limit.Most(0.6));
        report.Add("cost", "archived, settled and cross-read / our walsender", "×", cost.Zip(on, (sample, run) => sample.Settled / run.Sender), Limit.Most(0.9));
    }

    public static async Task TinyAsync(Bench bench)
    {
        var source = new Source(bench, await bench.Server.CreateDatabaseAsync("tiny"));
        await bench.ToolAsync("pgbench", "-i", "-q", "-s", "10", source.Database);
        await source.ProtectAsync();
        Bench.Say("the backlog");
        const int clients = 4;
        var transactions = bench.Options.Scaled(TinyTransactions) / clients * clients;
        await bench.Server.ExecuteAsync($"ALTER DATABASE \"{source.Database}\" SET synchronous_commit = off");
        await bench.ToolAsync("pgbench", "-n", "-c", $"{clients}", "-t", $"{transactions / clients}", source.Database);
        var changes = transactions * 4L;
        await bench.Server.ExecuteAsync($"SELECT crmbackup.mark('{Mark}')", source.Database);
        await bench.Server.ExecuteAsync("CHECKPOINT");
        var end = await EndAsync(bench, source);
        List<Sample> read = [], ours = [];
        await bench.RoundsAsync(async _ =>
        {
            read.Add(await RecvLogicalAsync(bench, source, end));
            ours.Add(await EmbeddedAsync(source, changes, _settleOff));
        });
        await source.CrmbackupAsync("verify");
        bench.Report.Add("drain-tiny", "pg_recvlogical", "transactions/s", read.Select(sample => transactions / sample.Seconds));
        bench.Report.Add("drain-tiny", "settle off", "transactions/s", ours.Select(sample => transactions / sample.Seconds));
        bench.Report.Add("drain-tiny", "settle off / pg_recvlogical", "×", Ratios(read, ours), Limit.Least(1.2));
    }

    /// <summary>Where the backlog ends, for those who know no marks.</summary>
    static async Task<string> EndAsync(Bench bench, Source source) =>
        (string)(await bench.Server.ExecuteAsync("SELECT pg_current_wal_flush_lsn()::text", source.Database))!;

    static IEnumerable<double> Ratios(List<Sample> of, List<Sample> against) => of.Zip(against, (left, right) => left.Seconds / right.Seconds);

    static async Task<Sample> RecvLogicalAsync(Bench bench, Source source, string end)
    {
        const string slot = "bench_read";
        await source.CopySavedSlotAsync(slot);
        await using var run = bench.Tool("pg_recvlogical", "-d", source.Database, "-S", slot, "--start", "--no-loop", "-f", "/dev/null", "--endpos", end,
            "-o", "proto_version=2", "-o", "streaming=on", "-o", "messages=true", "-o", $"publication_names={source.Publication}");
        var sender = await source.WalSenderAsync(slot, run);
        var ending = run.EndAsync();
        var cpu = 0.0;
        // The walsender ends with its reader: what was seen last is what is known.
        while (!ending.IsCompleted)
        {
            cpu = ProcessCpu.Seconds(sender) ?? cpu;
            await Task.WhenAny(ending, Task.Delay(50));
        }
        var seconds = await ending;
        await bench.Server.ExecuteAsync($"SELECT pg_drop_replication_slot('{slot}')");
        return new Sample(seconds, 0, cpu);
    }

    static async Task<Sample> EmbeddedAsync(Source source, long changes, Dictionary<string, string> settings, Func<Run, Task>? after = null)
    {
        await source.SetBackAsync();
        var watch = new VaultWatch(source.Vault);
        await using var run = source.Start(settings, "run", "--quiet");
        var sender = await source.WalSenderAsync(source.Slot, run);
        await watch.UntilMarkAsync(Mark, run);
        var sample = new Sample(run.Seconds, run.CpuSeconds, ProcessCpu.Seconds(sender) ?? double.NaN);
        MustBe(changes, watch);
        if (after is not null)
            await after(run);
        await run.StopAsync();
        return sample;
    }

    static async Task<Sample> BrokerAsync(Source source, RabbitServer rabbit, long changes)
    {
        await source.SetBackAsync();
        var watch = new VaultWatch(source.Vault);
        var settings = new Dictionary<string, string>(_settleOff) { ["CRMBACKUP__BROKER"] = rabbit.AmqpUri.ToString() };
        await using var archive = source.Start(settings, "archive", "--quiet");
        await using var capture = source.Start(settings, "capture", "--quiet");
        var sender = await source.WalSenderAsync(source.Slot, capture);
        await watch.UntilMarkAsync(Mark, archive, capture);
        var sample = new Sample(archive.Seconds, archive.CpuSeconds + capture.CpuSeconds, ProcessCpu.Seconds(sender) ?? double.NaN);
        MustBe(changes, watch);
        await capture.StopAsync();
        await archive.StopAsync();
        return sample;
    }

    /// <summary>Every change once, the mark, and few other messages of ours. What the rows hold is compared with the source at the end.</summary>
    static void MustBe(long changes, VaultWatch watch)
    {
        if (watch.Events <= changes || watch.Events > changes + MessagesMax)
            throw new InvalidOperationException($"the vault has {watch.Events} events, the source made {changes} changes and a mark");
    }
}
