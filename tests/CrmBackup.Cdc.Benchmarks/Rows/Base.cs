namespace CrmBackup.Cdc.Benchmarks;

/// <summary>The initial base of 2 GB, three quarters of its rows in one table, from <c>run</c> on a new vault until every base is whole,
/// against <c>pg_dump -Fd -j2</c> and against two <c>psql</c> that COPY the same tables to /dev/null. Row <c>base</c>.</summary>
static class Base
{
    const int SampleScale = 10;
    const int CopiesOfActivities = 5;
    static readonly string _moreActivities = $"""
        INSERT INTO activities (kind, contact_id, opportunity_id, user_id, subject, due_at, done_at, duration, outcome)
        SELECT kind, contact_id, opportunity_id, user_id, subject || ' ' || n, due_at, done_at, duration, outcome FROM activities, generate_series(2, {CopiesOfActivities}) n
        """;

    public static async Task MeasureAsync(Bench bench)
    {
        var source = await Source.CrmAsync(bench, SampleScale * bench.Options.Scale);
        await bench.FillAsync(source.Database, "SET session_replication_role = replica",
            _moreActivities, "VACUUM ANALYZE", "CHECKPOINT");
        var rows = (long)(decimal)(await bench.Server.ExecuteAsync("SELECT sum(reltuples)::numeric FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace", source.Database))!;
        var tables = (long)(await bench.Server.ExecuteAsync("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace", source.Database))!;
        var share = (double)(await bench.Server.ExecuteAsync($"SELECT reltuples::float8 / {rows} FROM pg_class WHERE oid = 'activities'::regclass", source.Database))!;
        var bytes = (long)(decimal)(await bench.Server.ExecuteAsync("SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace", source.Database))!;
        Bench.Say($"{rows:N0} rows, {bytes / 1e9:0.00} GB, {share:P0} of the rows in one table");
        await source.InitAsync();
        await source.SaveAsync();
        List<double> dump = [], copy = [], ours = [], cpu = [];
        await bench.RoundsAsync(async round =>
        {
            var folder = Path.Combine(bench.Folder, $"dump-{round}");
            dump.Add(await bench.ToolAsync("pg_dump", "-Fd", "-j2", "-f", folder, source.Database));
            Directory.Delete(folder, recursive: true);
            copy.Add(await CopyAsync(bench, source));
            await source.SetBackAsync();
            var watch = new VaultWatch(source.Vault);
            await using var run = source.Start(null, "run", "--quiet");
            await watch.UntilBasesAsync((int)tables, run);
            ours.Add(run.Seconds);
            cpu.Add(run.CpuSeconds);
            await run.StopAsync();
        });
        await source.CrmbackupAsync("verify");
        await using (var run = source.Start(null, "run", "--quiet"))
        {
            await source.CrmbackupAsync("verify", "--source", source.Connection, "--timeout", "600s");
            await run.StopAsync();
        }
        var report = bench.Report;
        report.Add("base", "pg_dump -Fd -j2", "rows/s", dump.Select(seconds => rows / seconds));
        report.Add("base", "COPY TO STDOUT, 2 jobs", "rows/s", copy.Select(seconds => rows / seconds));
        report.Add("base", "the base", "rows/s", ours.Select(seconds => rows / seconds));
        report.Add("base", "CPU of run", "CPU-s per million", cpu.Select(seconds => seconds / rows * 1e6));
        report.Add("base", "the base / pg_dump", "×", dump.Zip(ours, (left, right) => left / right), Limit.Least(2));
        report.Add("base", "the base / COPY", "×", copy.Zip(ours, (left, right) => left / right), Limit.Least(0.45));
    }

    /// <summary>One job has the large table, the other the rest, as two jobs of pg_dump would.</summary>
    static async Task<double> CopyAsync(Bench bench, Source source)
    {
        var rest = (string)(await bench.Server.ExecuteAsync(
            "SELECT string_agg(format('COPY %s TO STDOUT', oid::regclass), ';') FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'activities'",
            source.Database))!;
        var jobs = new[] { "COPY activities TO STDOUT", rest }.Select(sql => bench.ToolAsync("psql", "-X", "-q", "-d", source.Database, "-o", "/dev/null", "-c", sql));
        return (await Task.WhenAll(jobs)).Max();
    }
}
