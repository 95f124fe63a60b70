using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Settling by worker processes over RabbitMQ.</summary>
[Collection("servers")]
public sealed class WorkerTests(PostgresFixture postgres, RabbitFixture rabbit, ITestOutputHelper output)
{
    [Fact]
    public async Task Two_workers_one_killed_in_mid_settle_leave_the_same_live_set_as_without_the_kill()
    {
        await using var crm = await Protected.InitAsync(postgres.Server, rabbit.Server, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        crm.Start("--flush", "300ms");
        await crm.ProtectingAsync();
        string[] worker = ["worker", "--vault", crm.Vault, "--broker", rabbit.Server.AmqpUri.ToString()];
        await using var healthy = Crmbackup.Start(new Dictionary<string, string>(), worker);
        await using var doomed = Crmbackup.Start(new Dictionary<string, string> { ["CRMBACKUP_FAILPOINT"] = FailPoint.MidSettle }, worker);
        // The broker gives a job to either; the doomed one dies of its first.
        for (var round = 1; !doomed.HasEnded; round++)
        {
            Assert.True(round <= 20, "the broker never gave a job to the second worker");
            await using (var day = CrmWorkload.Start(postgres.Server, crm.Database, TimeSpan.FromSeconds(1)))
                await day.FinishAsync();
            await crm.WaitAsync();
            var copy = Path.Combine(Path.GetDirectoryName(crm.Vault)!, $"copy-{round}");
            Copy(crm.Vault, copy);
            (await Crmbackup.RunAsync("settle", "--now", "--vault", copy)).MustBe(0);
            (await Crmbackup.RunAsync("settle", "--now", "--vault", crm.Vault)).MustBe(0);
            var (expected, live) = (await LiveSetAsync(copy), await LiveSetAsync(crm.Vault));
            output.WriteLine($"round {round}: {live.Count} live segments, the second worker {(doomed.HasEnded ? "was killed" : "lives")}");
            Assert.NotEmpty(live);
            Assert.Equal(expected, live);
        }
        Assert.Contains(FailPoint.MidSettle, doomed.Errors);
        Assert.False(healthy.HasEnded, healthy.Errors);
        (await healthy.StopAsync()).MustBe(0);
        await crm.StopAsync();
        (await Crmbackup.RunAsync("verify", "--vault", crm.Vault)).MustBe(0);
    }

    /// <summary>What each live segment holds; names differ, they carry the writer's epoch and the job.</summary>
    static async Task<List<string>> LiveSetAsync(string folder)
    {
        var vault = await BackupVault.OpenAsync(new DirectoryMedium(folder), default);
        return [.. vault.State.Segments.Values.Select(segment => $"{segment.Kind} of {segment.Relation}: {segment.Rows} rows, {segment.ContentHash}").Order()];
    }

    static void Copy(string from, string to)
    {
        foreach (var file in Directory.GetFiles(from, "*", SearchOption.AllDirectories)
            .Where(file => !Path.GetRelativePath(from, file).StartsWith("tmp/", StringComparison.Ordinal)))
        {
            var target = Path.Combine(to, Path.GetRelativePath(from, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }
    }
}
