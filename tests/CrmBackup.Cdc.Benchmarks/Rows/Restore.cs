
namespace CrmBackup.Cdc.Benchmarks;

/// <summary>The whole database at a moment 1.5 M row changes after its base, against <c>pg_restore -j2</c> of a dump of that very state;
/// and what the vault weighs, against that dump. Rows <c>restore</c> and <c>size</c>.</summary>
static class Restore
{
    const double SampleScale = 4;
    const string Mark = "the moment";

    public static async Task MeasureAsync(Bench bench)
    {
        var source = await Source.CrmAsync(bench, SampleScale * bench.Options.Scale);
        await source.ProtectAsync();
        await source.WorkAsync(bench.Options.Scaled(Drain.Changes), Mark);
        await using (var run = source.Start(null, "run", "--quiet"))
        {
            await source.CrmbackupAsync("wait", "--timeout", "600s");
            await source.CrmbackupAsync("settle", "--now");
            await run.StopAsync();
        }
        if (bench.Options.Rows.Contains("size"))
        {
            // Prune spares what left the backup less than ten minutes ago; a scaled run weighs it with the rest.
            await Task.Delay(bench.Options.IsWhole ? TimeSpan.FromMinutes(10.1) : TimeSpan.Zero);
            await source.CrmbackupAsync("prune", "--grace", "10min");
            await SizeAsync(bench, source);
        }
        if (bench.Options.Rows.Contains("restore"))
            await RestoreAsync(bench, source);
    }

    static async Task SizeAsync(Bench bench, Source source)
    {
        var dump = Path.Combine(bench.Folder, "size.dump");
        await bench.ToolAsync("pg_dump", "-Fc", "-f", dump, source.Database);
        var (vault, dumped) = (Bytes(source.Vault), new FileInfo(dump).Length);
        File.Delete(dump);
        bench.Report.Add("size", "the vault", "MB", [vault / 1e6]);
        bench.Report.Add("size", "pg_dump -Fc", "MB", [dumped / 1e6]);
        bench.Report.Add("size", "the vault / the dump", "×", [(double)vault / dumped], Limit.Most(0.9));
        foreach (var folder in Directory.GetDirectories(source.Vault).Order())
            Console.WriteLine($"    {Path.GetFileName(folder)}: {Bytes(folder) / 1e6:0.0} MB");
    }

    /// <summary>As <c>du</c> counts: whole blocks of 4 KiB.</summary>
    internal static long Bytes(string folder) =>
        Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Sum(file => (new FileInfo(file).Length + 4095) / 4096 * 4096);

    static async Task RestoreAsync(Bench bench, Source source)
    {
        var dump = Path.Combine(bench.Folder, "restore.dump");
        await bench.ToolAsync("pg_dump", "-Fd", "-j2", "-f", dump, source.Database);
        var rows = (long)(await bench.FillAsync(source.Database, "ANALYZE",
            "SELECT sum(reltuples)::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"))!;
        var truth = await source.TruthAsync(source.Database);
        List<double> theirs = [], ours = [];
        await bench.RoundsAsync(async round =>
        {
            var (theirDatabase, ourDatabase) = ($"theirs_{round}", $"ours_{round}");
            await bench.Server.ExecuteAsync($"CREATE DATABASE {theirDatabase} TEMPLATE template0");
            theirs.Add(await bench.ToolAsync("pg_restore", "-j2", "-d", theirDatabase, dump));
            await bench.Server.ExecuteAsync($"DROP DATABASE {theirDatabase}");
            await bench.Server.ExecuteAsync("CHECKPOINT");
            await using var run = source.Start(null, "restore", "--to", $"mark:{Mark}", "--target", bench.Server.ConnectionString(ourDatabase), "--quiet");
            ours.Add(await run.EndAsync());
            if (await source.TruthAsync(ourDatabase) is var restored && restored != truth)
                throw new InvalidOperationException($"restored were {restored}, the source has {truth}");
            await bench.Server.ExecuteAsync($"DROP DATABASE {ourDatabase}");
            await bench.Server.ExecuteAsync("CHECKPOINT");
        });
        bench.Report.Add("restore", "pg_restore -j2", "rows/s", theirs.Select(seconds => rows / seconds));
        bench.Report.Add("restore", "the restore", "rows/s", ours.Select(seconds => rows / seconds));
        bench.Report.Add("restore", "the restore / pg_restore", "×", theirs.Zip(ours, (left, right) => left / right), Limit.Least(1.2));
    }
}
