using System.Text.Json;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>How the long-running verbs start, stop, meet each other and go on.</summary>
[Collection("lifecycle")]
public sealed class LifecycleTests(PostgresFixture postgres, RabbitFixture rabbit, ITestOutputHelper output)
{
    RabbitServer? Broker(Transport transport) => transport == Transport.Broker ? rabbit.Server : null;

    [Theory]
    [InlineData(Transport.Embedded)]
    [InlineData(Transport.Broker)]
    public async Task Sigterm_flushes_and_ends_with_0_and_a_second_writer_is_refused_in_words(Transport transport)
    {
        await using var crm = await Protected.InitAsync(postgres.Server, Broker(transport), await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        crm.Start("--flush", "30s");
        await crm.ProtectingAsync();
        string[] second = transport == Transport.Embedded ? ["run"] : ["archive", "--broker", rabbit.Server.AmqpUri.ToString()];
        var refused = await Crmbackup.RunAsync([.. second, "--source", crm.Source, "--vault", crm.Vault]);
        refused.MustBe(3);
        Assert.Contains("process", refused.Errors);
        Assert.DoesNotContain("   at ", refused.Errors);
        await crm.ExecuteAsync("UPDATE accounts SET name = name || ' Ltd.' WHERE id <= 10");
        var state = await TrueState.OfAsync(crm.Source);
        // Capture has sent it, the flush that would write it is half a minute away.
        await Task.Delay(TimeSpan.FromSeconds(2));
        await crm.StopAsync();
        var restored = await TrueState.OfAsync(await crm.RestoreAsync("latest", "--verify"));
        Assert.Empty(restored.DifferencesFrom(state));
    }

    [Fact]
    public async Task Run_once_from_a_timer_catches_up_settles_verifies_and_ends_with_0()
    {
        await using var crm = await Protected.InitAsync(postgres.Server, null, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        for (var night = 0; night < 3; night++)
        {
            await using (var day = CrmWorkload.Start(postgres.Server, crm.Database, TimeSpan.FromSeconds(2)))
                await day.FinishAsync();
            var state = await TrueState.OfAsync(crm.Source);
            var once = (await Crmbackup.RunAsync("run", "--once", "--source", crm.Source, "--vault", crm.Vault)).MustBe(0);
            var restored = await TrueState.OfAsync(await crm.RestoreAsync("latest"));
            Assert.True(restored.DifferencesFrom(state) is [], $"night {night}: {string.Join("; ", restored.DifferencesFrom(state))}\n{once.Errors}");
            Assert.Empty(Directory.GetFiles(Path.Combine(crm.Vault, "tmp"), "*.parquet"));
        }
        (await Crmbackup.RunAsync("verify", "--vault", crm.Vault)).MustBe(0);
    }

    [Theory]
    [InlineData(Transport.Embedded)]
    [InlineData(Transport.Broker)]
    public async Task After_a_restore_in_place_the_running_run_protects_the_new_database_without_a_person(Transport transport)
    {
        await using var crm = await Protected.InitAsync(postgres.Server, Broker(transport), await CrmSample.CreateDatabaseAsync(postgres.Server, 0.05));
        crm.Start();
        await crm.ProtectingAsync();
        await crm.ExecuteAsync("UPDATE accounts SET rating = 5 WHERE id % 2 = 0");
        var before = await TrueState.OfAsync(crm.Source);
        await crm.ExecuteAsync("DELETE FROM notes");
        await crm.WaitAsync();
        var restore = await Crmbackup.RunAsync(
            "restore", "--vault", crm.Vault, "--source", crm.Source, "--to", $"lsn:{before.Lsn}", "--in-place", "--yes", "--output", "json");
        restore.MustBe(0);
        output.WriteLine(restore.Output);
        using var report = JsonDocument.Parse(restore.Output);
        Assert.InRange(report.RootElement.GetProperty("downtimeSeconds").GetDouble(), 0, 5);
        Assert.Empty((await TrueState.OfAsync(crm.Source)).DifferencesFrom(before));
        await crm.ExecuteAsync("INSERT INTO notes (account_id, author_id, body) SELECT a.id, u.id, 'after the swap' FROM accounts a, users u LIMIT 100");
        var after = await TrueState.OfAsync(crm.Source);
        await crm.ProtectingAsync();
        await crm.WaitAsync();
        var later = await TrueState.OfAsync(crm.Source);
        Assert.All(crm.Processes.Values, process => Assert.False(process.HasEnded, crm.Logs));
        var restored = await TrueState.OfAsync(await crm.RestoreAsync("latest"));
        Assert.Empty(restored.DifferencesFrom(later));
        Assert.Empty(later.DifferencesFrom(after));
    }
}
