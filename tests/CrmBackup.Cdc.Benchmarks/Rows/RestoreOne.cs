using Npgsql;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>One small table, and one record, of a cluster of 2 GB at a moment 1.5 M row changes after its backup, against pgbackrest, which
/// restores and recovers the whole cluster to that moment. Rows <c>restore-one</c>, and of <c>size</c> what the same changes weigh as WAL.</summary>
static class RestoreOne
{
    const int SampleScale = 20;
    const string Mark = "the moment";
    const int Record = 4711;
    /// <summary>Of what PostgreSQL takes less for, a quotient would say nothing.</summary>
    const double SecondsMin = 15;

    public static async Task MeasureAsync(Bench bench)
    {
        var source = await Source.CrmAsync(bench, SampleScale * bench.Options.Scale);
        await source.ProtectAsync();
        await bench.Backrest.BackUpAsync();
        await source.WorkAsync(bench.Options.Scaled(Drain.Changes), Mark);
        var lsn = (string)(await bench.Server.ExecuteAsync("SELECT pg_current_wal_insert_lsn()::text"))!;
        await bench.Backrest.ArchivedAsync();
        await using (var run = source.Start(null, "run", "--quiet"))
        {
            await source.CrmbackupAsync("wait", "--timeout", "600s");
            await source.CrmbackupAsync("settle", "--now");
            await run.StopAsync();
        }
        var size = (long)(await bench.Server.ExecuteAsync("SELECT sum(pg_database_size(oid))::bigint FROM pg_database"))!;
        Bench.Say($"a cluster of {size / 1e9:0.00} GB");
        List<double> cluster = [], table = [], record = [];
        await bench.RoundsAsync(async _ =>
        {
            var truth = "";
            cluster.Add(await bench.Backrest.RestoreAsync(lsn, async port => truth = await DigestAsync(PgBackRest.Connection(port, source.Database), "accounts", "true")));
            table.Add(await source.CrmbackupAsync("restore", "--to", $"mark:{Mark}", "--table", "public.accounts", "--target", source.Connection, "--quiet"));
            MustBe(truth, await DigestAsync(source.Connection, await RestoredAsync(bench, source, "accounts"), "true"));
            record.Add(await source.CrmbackupAsync("restore", "--to", $"mark:{Mark}", "--table", "public.opportunities", "--where", $"id={Record}", "--target", source.Connection, "--quiet"));
            MustBe(await DigestAsync(source.Connection, "opportunities", $"id = {Record}"), await DigestAsync(source.Connection, await RestoredAsync(bench, source, "opportunities"), "true"));
        });
        var report = bench.Report;
        report.Add("restore-one", "pgbackrest, the whole cluster", "s", cluster, Limit.Least(SecondsMin));
        report.Add("restore-one", "one table", "s", table);
        report.Add("restore-one", "one record", "s", record);
        report.Add("restore-one", "the cluster / one table", "×", cluster.Zip(table, (left, right) => left / right), Limit.Least(10));
        report.Add("restore-one", "the cluster / one record", "×", cluster.Zip(record, (left, right) => left / right), Limit.Least(50));
        report.Add("size", "WAL of the same changes, compressed by pgbackrest", "MB", [bench.Backrest.WalBytes / 1e6]);
    }

    /// <summary>The name of the table that a restore has put beside; renamed, so that the next round finds its own.</summary>
    static async Task<string> RestoredAsync(Bench bench, Source source, string table)
    {
        var name = (string)(await bench.Server.ExecuteAsync($"SELECT max(relname)::text FROM pg_class WHERE relname LIKE '{table}\\_restored\\_%' AND relkind = 'r'", source.Database))!;
        var taken = $"compared_{Guid.NewGuid():N}";
        await bench.Server.ExecuteAsync($"ALTER TABLE \"{name}\" RENAME TO {taken}", source.Database);
        return taken;
    }

    static void MustBe(string expected, string restored)
    {
        if (expected != restored)
            throw new InvalidOperationException($"restored were {restored}, the moment had {expected}");
    }

    static async Task<string> DigestAsync(string connectionString, string table, string where)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Options=-c timezone=UTC");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand($"SELECT count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) FROM {table} t WHERE {where}", connection);
        return (string)(await command.ExecuteScalarAsync())!;
    }
}
