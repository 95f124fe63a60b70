using CrmBackup.Cdc.Benchmarks;

// Rows of the table of figures, and what measures them: one run may fill several.
(string[] Rows, Func<Bench, Task> Measure)[] benchmarks =
[
    (["drain", "drain-broker", "cost"], Drain.CrmAsync),
    (["drain-tiny"], Drain.TinyAsync),
    (["base"], Base.MeasureAsync),
    (["lag"], Lag.MeasureAsync),
    (["overhead"], Overhead.MeasureAsync),
    (["ddl"], Ddl.MeasureAsync),
    (["restore", "size"], Restore.MeasureAsync),
    (["restore-one"], RestoreOne.MeasureAsync),
    (["memory"], Memory.MeasureAsync),
    (["query"], Query.MeasureAsync),
    (["size-slow"], SizeSlow.MeasureAsync),
];
if (BenchOptions.Parse(args, [.. benchmarks.SelectMany(benchmark => benchmark.Rows)]) is not { } options)
    return 2;
var report = new Report(options);
try
{
    await using var bench = await Bench.StartAsync(options, report);
    foreach (var (rows, measure) in benchmarks)
        if (rows.Intersect(options.Rows).Any())
        {
            Bench.Say(string.Join(", ", rows.Intersect(options.Rows)));
            await measure(bench);
        }
}
catch (Exception failure) when (failure is InvalidOperationException or TimeoutException or Npgsql.NpgsqlException or IOException)
{
    // A row that does not work has no figure, and neither have those after it.
    Console.Error.WriteLine(failure);
    return 1;
}
report.Print();
if (options.Json is { } file)
    report.Write(file);
return report.HasMissed ? 4 : 0;
