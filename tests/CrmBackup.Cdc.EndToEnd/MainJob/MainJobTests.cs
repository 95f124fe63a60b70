using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>The main job over both transports: protect under load, restore to recorded moments, compare with what PostgreSQL itself said.</summary>
[Collection("servers")]
public sealed class MainJobTests(PostgresFixture postgres, RabbitFixture rabbit, ITestOutputHelper output)
{
    const int Moments = 20;

    RabbitServer? Broker(Transport transport) => transport == Transport.Broker ? rabbit.Server : null;

    [Theory]
    [InlineData(Transport.Embedded)]
    [InlineData(Transport.Broker)]
    public async Task Every_recorded_moment_is_restored_exactly_by_lsn_and_by_time(Transport transport)
    {
        await using var crm = await Protected.InitAsync(postgres.Server, Broker(transport),
            await CrmSample.CreateDatabaseAsync(postgres.Server));
        await using var clients = await Clients.StartAsync(crm, postgres.Server);
        crm.Start();
        var early = await TrueState.RecordAsync(crm.Source);
        await crm.ProtectingAsync();
        var moments = new List<TrueState>();
        for (var until = DateTime.UtcNow.AddSeconds(30); moments.Count < Moments || DateTime.UtcNow < until;)
        {
            moments.Add(await TrueState.RecordAsync(crm.Source));
            await Task.Delay(TimeSpan.FromSeconds(1.3));
        }
        await clients.StopAsync();
        await crm.WaitAsync();
        var refused = await Crmbackup.RunAsync("restore", "--vault", crm.Vault, "--to", $"lsn:{early.Lsn}", "--target",
            postgres.Server.ConnectionString(crm.Database + "_early"));
        Assert.True(refused.ExitCode is 0 or 3, refused.Errors);
        await crm.StopAsync();
        foreach (var moment in moments)
        {
            await EqualsAsync(crm, $"lsn:{moment.Lsn}", moment);
            await EqualsAsync(crm, moment.Time.ToString("yyyy-MM-dd HH:mm:ss.ffffffzzz"), moment);
        }
        output.WriteLine($"{transport}: {moments.Count} moments, each by LSN and by time");
    }

    [Theory]
    [Trait("Run", "Full")]
    [InlineData(Transport.Embedded)]
    [InlineData(Transport.Broker)]
    public async Task Twenty_kills_under_load_lose_nothing_and_need_nobody(Transport transport)
    {
        await using var crm = await Protected.InitAsync(postgres.Server, Broker(transport),
            await CrmSample.CreateDatabaseAsync(postgres.Server));
        var random = new Random(20261122);
        await using var clients = await Clients.StartAsync(crm, postgres.Server);
        crm.Start();
        await crm.ProtectingAsync();
        var moments = new List<TrueState>();
        for (var kill = 0; kill < 20; kill++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(200, 2500)));
            var victims = crm.Processes.Keys.Order().ToList();
            if (transport == Transport.Broker && kill % 5 == 4)
            {
                await rabbit.Server.KillAsync();
                await rabbit.Server.StartAgainAsync();
                output.WriteLine($"kill {kill}: broker");
            }
            else
            {
                var victim = victims[random.Next(victims.Count)];
                await crm.Processes[victim].KillAsync();
                output.WriteLine($"kill {kill}: {victim}");
            }
            crm.Start();
            if (kill % 4 == 0)
                moments.Add(await TrueState.RecordAsync(crm.Source));
        }
        foreach (var phase in new[] { "segment-fsync", "before-commit", "before-confirm" })
        {
            await crm.KillAsync();
            crm.SetEnvironment("CRMBACKUP_FAILPOINT", phase);
            crm.Start();
            var victim = crm.Processes[transport == Transport.Embedded ? "run" : "archive"];
            await Eventually.TrueAsync(() => victim.HasEnded, TimeSpan.FromSeconds(60), $"the fail point {phase} to end the process");
            Assert.Contains(phase, victim.Errors);
            crm.SetEnvironment("CRMBACKUP_FAILPOINT", null);
            output.WriteLine($"ended at {phase}");
            await crm.KillAsync();
            crm.Start();
            moments.Add(await TrueState.RecordAsync(crm.Source));
        }
        await clients.StopAsync();
        moments.Add(await TrueState.RecordAsync(crm.Source));
        await crm.WaitAsync(120);
        await crm.StopAsync();
        (await Crmbackup.RunAsync("verify", "--vault", crm.Vault)).MustBe(0);
        foreach (var moment in moments)
            await EqualsAsync(crm, $"lsn:{moment.Lsn}", moment);
    }

    static async Task EqualsAsync(Protected crm, string target, TrueState recorded)
    {
        var restored = await TrueState.OfAsync(await crm.RestoreAsync(target));
        Assert.True(restored.DifferencesFrom(recorded) is [], $"{target}: {string.Join("; ", restored.DifferencesFrom(recorded))}");
        await crm.DropRestoredAsync();
    }
}
