namespace CrmBackup.Cdc.Benchmarks;

/// <summary>What an hour of a slow source weighs in the vault, 10 rows a second with a flush each second, settled and pruned, against the WAL
/// of the same changes as pgbackrest archives it. Row <c>size-slow</c>.</summary>
static class SizeSlow
{
    const int RowsPerSecond = 10;

    public static async Task MeasureAsync(Bench bench)
    {
        var seconds = bench.Options.Scaled(60 * 60);
        var source = await Source.CrmAsync(bench, 0.1);
        await source.ProtectAsync();
        await bench.Backrest.BackUpAsync();
        await bench.Backrest.ArchivedAsync();
        var (vault, wal) = (Restore.Bytes(source.Vault), bench.Backrest.WalBytes);
        var (commits, _) = await TimeLapse.RunAsync(bench, source, seconds, RowsPerSecond);
        await bench.Backrest.ArchivedAsync();
        // Prune spares what left the backup less than ten minutes ago; a scaled run weighs it with the rest.
        await Task.Delay(bench.Options.IsWhole ? TimeSpan.FromMinutes(10.1) : TimeSpan.Zero);
        await source.CrmbackupAsync("prune", "--grace", "10min");
        var (grown, archived) = (Restore.Bytes(source.Vault) - vault, bench.Backrest.WalBytes - wal);
        await source.CrmbackupAsync("verify");
        bench.Report.Add("size-slow", $"{seconds:N0} seconds: commits", "", [commits], Limit.Least(TimeLapse.CommitsMin * seconds));
        bench.Report.Add("size-slow", "the vault has grown by", "MB", [grown / 1e6]);
        foreach (var folder in Directory.GetDirectories(source.Vault).Order())
            bench.Report.Add("size-slow", $"of all there is, {Path.GetFileName(folder)}", "MB", [Restore.Bytes(folder) / 1e6]);
        bench.Report.Add("size-slow", "the WAL's archive has grown by", "MB", [archived / 1e6]);
        bench.Report.Add("size-slow", "the vault / the WAL", "×", [(double)grown / archived], Limit.Most(1));
    }
}
