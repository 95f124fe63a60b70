using System.Diagnostics;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>What our event triggers cost the CRM's DDL: the same commands before <c>init</c> and after, nothing of ours running. Row <c>ddl</c>.</summary>
static class Ddl
{
    const int Commands = 600;

    /// <summary>Of each kind: what one round of the loop does, and how many commands that is.</summary>
    static readonly (string What, int Each, string Body)[] _kinds =
    [
        ("CREATE, ALTER and DROP of a table", 3, "EXECUTE 'CREATE TABLE made (id bigint PRIMARY KEY, name text, at timestamptz, amount numeric, extra jsonb)'; COMMIT; "
            + "EXECUTE 'ALTER TABLE made ADD late text DEFAULT ''x'''; COMMIT; EXECUTE 'DROP TABLE made'; COMMIT;"),
        ("CREATE and DROP of a temporary table", 2, "EXECUTE 'CREATE TEMP TABLE made (id bigint PRIMARY KEY, name text)'; COMMIT; EXECUTE 'DROP TABLE made'; COMMIT;"),
    ];

    public static async Task MeasureAsync(Bench bench)
    {
        var source = new Source(bench, await bench.Server.CreateDatabaseAsync("ddl"));
        var (before, with) = (_kinds.Select(_ => new List<double>()).ToList(), _kinds.Select(_ => new List<double>()).ToList());
        await bench.RoundsAsync(async _ =>
        {
            await AllAsync(before);
            await source.InitAsync();
            await AllAsync(with);
            await source.CrmbackupAsync("init", "--remove", "--yes");
            Directory.Delete(source.Vault, recursive: true);
        });
        foreach (var (number, (what, _, _)) in _kinds.Index())
        {
            bench.Report.Add("ddl", $"{what}: before init, per command", "ms", before[number]);
            bench.Report.Add("ddl", $"{what}: with our triggers, per command", "ms", with[number]);
        }

        async Task AllAsync(List<List<double>> samples)
        {
            foreach (var (number, kind) in _kinds.Index())
                samples[number].Add(await MillisecondsAsync(bench, source.Database, kind.Body, kind.Each));
        }
    }

    static async Task<double> MillisecondsAsync(Bench bench, string database, string body, int each)
    {
        var rounds = Math.Max(10, bench.Options.Scaled(Commands) / each);
        var began = Stopwatch.GetTimestamp();
        await bench.FillAsync(database, $"DO $do$ BEGIN FOR i IN 1..{rounds} LOOP {body} END LOOP; END $do$");
        return Stopwatch.GetElapsedTime(began).TotalMilliseconds / (rounds * each);
    }
}
