namespace CrmBackup.Cdc.Benchmarks;

/// <summary>The most memory that <c>run</c> (with its settling) and <c>restore</c> ever have resident, where one thing or another is large;
/// what is restored is compared with the source. Row <c>memory</c>.</summary>
static class Memory
{
    const int MebibytesMax = 400;
    const int RowsPerSecond = 100;
    const string Mark = "the moment";

    /// <summary>Made again and again by one transaction: as much WAL as asked for.</summary>
    const int ChangesAtOnce = 250_000;
    const long OutageBytes = 2L << 30;

    /// <param name="Fill">Before the database is protected.</param>
    /// <param name="Work">After its base, while nothing of ours runs; null: what is measured is the base.</param>
    /// <param name="ValueMebibytes">The size of its largest value, where that is excepted.</param>
    sealed record Case(string What, string? Fill, Func<Bench, Source, Task>? Work, double ValueMebibytes = 0);

    public static async Task MeasureAsync(Bench bench)
    {
        foreach (var one in Cases(bench.Options))
            await MeasureAsync(bench, one);
        await OfADayAsync(bench);
    }

    static IEnumerable<Case> Cases(BenchOptions options)
    {
        var rows = options.Scaled(10_000_000);
        yield return new Case($"one table of {rows:N0} rows",
            $"CREATE TABLE large AS {Rows(rows)}; ALTER TABLE large ADD PRIMARY KEY (id)", null);
        var tables = options.Scaled(10_000);
        yield return new Case($"{tables:N0} tables",
            $"DO $$ BEGIN FOR i IN 1..{tables} LOOP EXECUTE format('CREATE TABLE t%s (id bigint PRIMARY KEY, name text)', i); "
            + "EXECUTE format('INSERT INTO t%s SELECT n, ''row '' || n FROM generate_series(1, 10) n', i); IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$", null);
        var changes = options.Scaled(5_000_000);
        yield return new Case($"one transaction of {changes:N0} rows",
            "CREATE TABLE large (id bigint PRIMARY KEY, name text, at timestamptz, amount numeric)", (bench, source) => bench.FillAsync(source.Database, $"INSERT INTO large {Rows(changes)}"));
        var mebibytes = options.Scaled(200);
        yield return new Case($"one value of {mebibytes:N0} MiB",
            "CREATE TABLE documents (id bigint PRIMARY KEY, body text)",
            (bench, source) => bench.FillAsync(source.Database, $"INSERT INTO documents SELECT 1, repeat(md5('of a body'), {mebibytes} * 32768)"), mebibytes);
        var wal = (long)(OutageBytes * options.Scale);
        yield return new Case($"an outage of {wal / 1e9:0.00} GB of WAL", Fill: null, (bench, source) => WriteAsync(bench, source, wal));
    }

    /// <summary>Of about 80 bytes each.</summary>
    static string Rows(int rows) =>
        $"SELECT n AS id, 'Contact number ' || n AS name, timestamptz '2026-01-01 00:00:00+00' + n * interval '1 second' AS at, n * 1.25 AS amount FROM generate_series(1::bigint, {rows}) n";

    /// <summary>Row changes of the CRM until they have written so much WAL.</summary>
    static async Task WriteAsync(Bench bench, Source source, long bytes)
    {
        async Task<string> AtAsync() => (string)(await bench.Server.ExecuteAsync("SELECT pg_current_wal_insert_lsn()::text"))!;
        var from = await AtAsync();
        for (var round = 1; (decimal)(await bench.Server.ExecuteAsync($"SELECT pg_wal_lsn_diff('{await AtAsync()}', '{from}')"))! < bytes; round++)
            await source.WorkAsync(bench.Options.Scaled(ChangesAtOnce), $"outage {round}");
    }

    static async Task MeasureAsync(Bench bench, Case one)
    {
        Bench.Say(one.What);
        var source = one.Fill is null ? await Source.CrmAsync(bench, bench.Options.Scale) : new Source(bench, await bench.Server.CreateDatabaseAsync("memory"));
        if (one.Fill is not null)
            await bench.FillAsync(source.Database, one.Fill);
        if (one.Work is null)
        {
            await source.InitAsync();
            await source.SaveAsync();
        }
        else
        {
            await source.ProtectAsync();
            await one.Work(bench, source);
            await bench.Server.ExecuteAsync($"SELECT crmbackup.mark('{Mark}')", source.Database);
        }
        var truth = await source.TruthAsync(source.Database);
        List<double> runs = [], restores = [];
        await bench.RoundsAsync(async _ =>
        {
            await source.SetBackAsync();
            var watch = new VaultWatch(source.Vault);
            await using (var run = source.Start(null, "run", "--quiet"))
            {
                if (one.Work is null)
                    await source.CrmbackupAsync("wait", "--protected", "--timeout", "3600s");
                else
                    await watch.UntilMarkAsync(Mark, run);
                await source.CrmbackupAsync("settle", "--now");
                runs.Add(run.PeakMebibytes);
                await run.StopAsync();
            }
            restores.Add(await RestoreAsync(bench, source, truth));
        });
        await bench.Server.DropDatabaseAsync(source.Database);
        Add(bench.Report, one.What, "run", runs, one.ValueMebibytes);
        Add(bench.Report, one.What, "restore", restores, one.ValueMebibytes);
    }

    static async Task OfADayAsync(Bench bench)
    {
        var seconds = bench.Options.Scaled(24 * 60 * 60);
        var what = $"{seconds / 3600.0:0.0} hours at {RowsPerSecond} rows/s";
        Bench.Say(what);
        var source = await Source.CrmAsync(bench, 0.1);
        await source.ProtectAsync();
        List<double> runs = [], restores = [], commits = [];
        await bench.RoundsAsync(async _ =>
        {
            await source.SetBackAsync();
            var (made, peak) = await TimeLapse.RunAsync(bench, source, seconds, RowsPerSecond);
            commits.Add(made);
            runs.Add(peak);
            restores.Add(await RestoreAsync(bench, source, await source.TruthAsync(source.Database)));
        });
        bench.Report.Add("memory", $"{what}: commits", "", commits, Limit.Least(TimeLapse.CommitsMin * seconds));
        Add(bench.Report, what, "run", runs);
        Add(bench.Report, what, "restore", restores);
    }

    /// <summary>The newest state into a new database, which must be what the source has.</summary>
    static async Task<double> RestoreAsync(Bench bench, Source source, string truth)
    {
        const string restored = "memory_restored";
        await using var run = source.Start(null, "restore", "--to", "latest", "--target", bench.Server.ConnectionString(restored), "--quiet");
        var peak = await run.EndPeakAsync();
        if (await source.TruthAsync(restored) != truth)
            throw new InvalidOperationException("what was restored is not what the source has");
        await bench.Server.DropDatabaseAsync(restored);
        return peak;
    }

    static void Add(Report report, string what, string verb, IEnumerable<double> peaks, double excepted = 0) =>
        report.Add("memory", $"{what}: {verb}", "MiB", peaks, Limit.Most(MebibytesMax + excepted));
}
