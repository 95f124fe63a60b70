using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>The main job over both transports: protect under load, restore to recorded moments, compare with what PostgreSQL itself said.</summary>
[Collection("main job")]
public sealed class MainJobTests(PostgresFixture postgres, RabbitFixture rabbit, ITestOutputHelper output)
{
    const int Moments = 20;

    [Theory]
    [InlineData(Transport.Embedded)]
    [InlineData(Transport.Broker)]
    public async Task Every_recorded_moment_is_restored_exactly_by_lsn_and_by_time(Transport transport)
    {
        await using var crm = await Protected.InitAsync(postgres.Server, transport == Transport.Broker ? rabbit.Server : null,
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
        await EqualAsync(crm, moments.SelectMany(moment => new[] { ($"lsn:{moment.Lsn}", moment), (moment.Time.ToString("yyyy-MM-dd HH:mm:ss.ffffffzzz"), moment) }));
        output.WriteLine($"{transport}: {moments.Count} moments, each by LSN and by time");
    }

    [Theory]
    [Trait("Run", "Full")]
    [InlineData(Transport.Embedded)]
    [InlineData(Transport.Broker)]
    public async Task Twenty_kills_under_load_lose_nothing_and_need_nobody(Transport transport)
    {
        // Killed too: nobody else's.
        await using var broker = transport == Transport.Broker ? await RabbitServer.StartAsync() : null;
        await using var crm = await Protected.InitAsync(postgres.Server, broker, await CrmSample.CreateDatabaseAsync(postgres.Server));
        var random = new Random(20261122);
        await using var clients = await Clients.StartAsync(crm, postgres.Server);
        crm.Start();
        await crm.ProtectingAsync();
        var moments = new List<TrueState>();
        for (var kill = 0; kill < 20; kill++)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(200, 2500)));
            var victims = crm.Processes.Keys.Order().ToList();
            if (broker is not null && kill % 5 == 4)
            {
                await broker.KillAsync();
                await broker.StartAgainAsync();
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
        await EqualAsync(crm, moments.Select(moment => ($"lsn:{moment.Lsn}", moment)));
    }

    static Task EqualAsync(Protected crm, IEnumerable<(string To, TrueState Recorded)> moments) =>
        Parallel.ForEachAsync(moments, new ParallelOptions { MaxDegreeOfParallelism = 2 }, async (moment, _) =>
        {
            var database = await crm.RestoreAsync(moment.To);
            var differences = (await TrueState.OfAsync(database)).DifferencesFrom(moment.Recorded);
            Assert.True(differences is [], $"{moment.To}: {string.Join("; ", differences)}");
            await crm.DropRestoredAsync(database);
        });
}
