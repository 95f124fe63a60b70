using System.Globalization;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

[Collection("postgres")]
public sealed class LargeTransactionTests(PostgresFixture postgres, ITestOutputHelper output)
{
    /// <summary>Far below what five million rows weigh, far above what .NET and the segments under way do.</summary>
    const long PeakBytesMax = 900L << 20;

    [Fact]
    [Trait("Run", "Full")]
    public async Task Five_million_rows_in_one_transaction_come_back_and_pass_through_bounded_memory()
    {
        await using var story = await Story.BeginAsync(postgres.Server, output, "CREATE TABLE leads (id integer PRIMARY KEY, name text, note text)",
            "INSERT INTO leads SELECT i, 'lead ' || i, md5(i::text) FROM generate_series(1, 1000) i");
        await story.Crm.ExecuteLongAsync("""
            BEGIN; INSERT INTO leads SELECT i, 'lead ' || i, md5(i::text) FROM generate_series(1001, 5000000) i; SAVEPOINT half;
            UPDATE leads SET note = 'gone' WHERE id < 100000; ROLLBACK TO half; DELETE FROM leads WHERE id % 1000 = 0; COMMIT
            """);
        await story.Crm.WaitAsync(600);
        var peak = PeakBytes(story.Crm.Processes["run"].Id);
        output.WriteLine($"peak of run: {peak >> 20} MiB");
        Assert.InRange(peak, 1, PeakBytesMax);
        var recorded = await TrueState.OfAsync(story.Crm.Source);
        await story.Crm.StopAsync();
        Assert.Empty((await TrueState.OfAsync(await story.Crm.RestoreAsync("latest"))).DifferencesFrom(recorded));
    }

    /// <summary>The process's own high-water mark of resident memory.</summary>
    static long PeakBytes(int process)
    {
        var line = File.ReadLines($"/proc/{process}/status").First(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
        return long.Parse(line["VmHWM:".Length..].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture) << 10;
    }
}
