namespace CrmBackup.Cdc.Benchmarks;

/// <summary>A slow source a hundred times as fast: as many flushes, commits and settle jobs as so much time has, by settings that are a
/// hundredth of the usual.</summary>
static class TimeLapse
{
    const int Faster = 100;

    /// <summary>With fewer it was not that time: the machine did not keep up.</summary>
    public const double CommitsMin = 0.8;

    static readonly Dictionary<string, string> _settings = new()
    {
        ["CRMBACKUP__ARCHIVE__FLUSH"] = "10ms",
        ["CRMBACKUP__CAPTURE__BLOCKAGE"] = "1ms",
        ["CRMBACKUP__CAPTURE__SEQUENCEEVERY"] = "50ms",
        ["CRMBACKUP__SETTLE__EVERY"] = "3s",
    };

    /// <summary>One transaction each second, of so many rows, until all is settled.</summary>
    /// <param name="seconds">Of the source's time.</param>
    /// <returns>The commits it took, and the most memory that <c>run</c> had resident, in MiB.</returns>
    public static async Task<(int Commits, double Peak)> RunAsync(Bench bench, Source source, int seconds, int rows)
    {
        var script = Path.Combine(bench.Folder, "second.sql");
        await File.WriteAllTextAsync(script, $"INSERT INTO leads (company, person, source) SELECT 'Day', 'Person ' || i, 'web' FROM generate_series(1, {rows}) i;\n");
        var before = Commits(source);
        await using var run = source.Start(_settings, "run", "--quiet");
        await source.WalSenderAsync(source.Slot, run);
        await bench.ToolAsync("pgbench", "-n", "-c", "1", "-t", $"{seconds}", "-R", $"{Faster}", "-f", script, source.Database);
        await source.CrmbackupAsync("wait", "--timeout", "600s");
        await source.CrmbackupAsync("settle", "--now");
        var peak = run.PeakMebibytes;
        await run.StopAsync();
        return (Commits(source) - before, peak);
    }

    static int Commits(Source source) => Directory.EnumerateFiles(Path.Combine(source.Vault, "commits"), "*.json", SearchOption.AllDirectories).Count();
}
