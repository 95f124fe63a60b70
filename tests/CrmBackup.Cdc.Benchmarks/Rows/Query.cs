using System.Diagnostics;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using DuckDB.NET.Data;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>DuckDB scanning the settled segments of the backlog of <c>drain</c>, with nothing of ours, against the same rows in a Parquet file
/// that DuckDB has written itself with its own settings. Row <c>query</c>.</summary>
static class Query
{
    const string Mark = "settled";
    /// <summary>Short scans are repeated: so many are one sample.</summary>
    const int Repeats = 10;

    /// <summary>The tables that most events are of, with a number to sum.</summary>
    static readonly (string Table, string Number)[] _tables = [("activities", "contact_id"), ("contacts", "account_id"), ("opportunities", "amount")];

    static readonly (string What, Func<string, string> Select)[] _scans =
    [
        ("count", _ => "count(*)"),
        ("sum", number => $"sum({number}), max(_commit_lsn)"),
        ("filter on the key", _ => "count(*) FILTER (WHERE id % 100 = 7), count(*) FILTER (WHERE id BETWEEN 1000 AND 2000)"),
    ];

    public static async Task MeasureAsync(Bench bench)
    {
        var source = await Source.CrmAsync(bench, bench.Options.Scale);
        await source.ProtectAsync();
        await source.WorkAsync(bench.Options.Scaled(Drain.Changes), Mark);
        await using (var run = source.Start(null, "run", "--quiet"))
        {
            await source.CrmbackupAsync("wait", "--timeout", "600s");
            await source.CrmbackupAsync("settle", "--now");
            await run.StopAsync();
        }
        var state = (await BackupVault.OpenAsync(new DirectoryMedium(source.Vault), default)).State;
        await using var duck = new DuckDBConnection("DataSource=:memory:");
        await duck.OpenAsync();
        var pairs = new List<(string Number, string Ours, string Theirs)>();
        foreach (var (table, number) in _tables)
        {
            var relation = state.Relations.FindLast(shape => shape.FullName == $"public.{table}")!.Number;
            var files = state.Segments.Values.Where(segment => segment.Kind == SegmentKind.Changes && segment.Relation == relation).OrderBy(segment => segment.First)
                .Select(segment => $"'{Path.Combine(source.Vault, segment.Path)}'").ToList();
            var theirs = Path.Combine(bench.Folder, $"{table}.parquet");
            await ReadAsync(duck, $"COPY (FROM read_parquet([{string.Join(", ", files)}])) TO '{theirs}' (FORMAT parquet)");
            pairs.Add((number, $"read_parquet([{string.Join(", ", files)}])", $"read_parquet('{theirs}')"));
            Bench.Say($"{table}: {files.Count} files, {files.Sum(file => new FileInfo(file.Trim('\'')).Length) / 1e6:0.0} MB; written by DuckDB {new FileInfo(theirs).Length / 1e6:0.0} MB");
        }
        var (ours, duckdbs) = (_scans.Select(_ => new List<double>()).ToList(), _scans.Select(_ => new List<double>()).ToList());
        await bench.RoundsAsync(async _ =>
        {
            foreach (var (i, (_, select)) in _scans.Index())
            {
                var (left, right) = (0.0, 0.0);
                foreach (var (number, our, their) in pairs)
                {
                    var (one, answer) = await TimedAsync(duck, $"SELECT {select(number)} FROM {our}");
                    var (other, expected) = await TimedAsync(duck, $"SELECT {select(number)} FROM {their}");
                    if (answer != expected)
                        throw new InvalidOperationException($"the segments say {answer}, DuckDB's copy {expected}");
                    (left, right) = (left + one, right + other);
                }
                ours[i].Add(left);
                duckdbs[i].Add(right);
            }
        });
        foreach (var (i, (what, _)) in _scans.Index())
        {
            bench.Report.Add("query", $"{what}: DuckDB's own file", "ms", duckdbs[i].Select(seconds => seconds * 1000));
            bench.Report.Add("query", $"{what}: the settled segments", "ms", ours[i].Select(seconds => seconds * 1000));
            bench.Report.Add("query", $"{what}: segments / own file, as speed", "×", duckdbs[i].Zip(ours[i], (left, right) => left / right), Limit.Least(0.7));
        }
    }

    /// <returns>The seconds of one scan, and its answer.</returns>
    static async Task<(double Seconds, string Answer)> TimedAsync(DuckDBConnection duck, string sql)
    {
        var answer = await ReadAsync(duck, sql);
        var clock = Stopwatch.StartNew();
        for (var i = 0; i < Repeats; i++)
            await ReadAsync(duck, sql);
        return (clock.Elapsed.TotalSeconds / Repeats, answer);
    }

    static async Task<string> ReadAsync(DuckDBConnection duck, string sql)
    {
        await using var command = duck.CreateCommand();
        command.CommandText = sql;
        await using var reader = await command.ExecuteReaderAsync();
        var row = await reader.ReadAsync() ? Enumerable.Range(0, reader.FieldCount).Select(i => $"{reader.GetValue(i)}") : [];
        return string.Join(", ", row);
    }
}
