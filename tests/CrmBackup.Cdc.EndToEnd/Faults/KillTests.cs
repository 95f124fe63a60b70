using System.Globalization;
using System.Text.Json;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>kill -9 and SIGSTOP of every process that takes part, under load. <c>tests/soak.sh --kill</c> runs it with more of them; a seed in
/// <c>CRMBACKUP_TESTS_SEED</c> repeats the choices.</summary>
[Collection("lifecycle")]
public sealed class KillTests(PostgresFixture postgres, ITestOutputHelper output)
{
    /// <summary>States recorded among the kills: each is restored.</summary>
    const int MomentsMax = 40;

    [Theory]
    [Trait("Run", "Full")]
    [InlineData(Transport.Embedded)]
    [InlineData(Transport.Broker)]
    public async Task Kills_and_stops_under_load_lose_nothing_and_need_nobody(Transport transport)
    {
        var kills = Setting("CRMBACKUP_TESTS_KILLS") ?? 20;
        var seed = Setting("CRMBACKUP_TESTS_SEED") ?? Random.Shared.Next(1_000_000);
        output.WriteLine($"seed {seed}, {transport}");
        // Killed too: nobody else's.
        await using var server = await PostgresServer.StartAsync();
        await using var broker = transport == Transport.Broker ? await RabbitServer.StartAsync() : null;
        await using var crm = await Protected.InitAsync(server, broker, await CrmSample.CreateDatabaseAsync(server, 0.2));
        // So that kills meet a settle, too.
        crm.SetEnvironment("CRMBACKUP__SETTLE__EVERY", "3s");
        await using var clients = await Clients.StartAsync(crm, server, patient: true);
        var havoc = new Havoc(crm, server, broker, postgres.Server, new Random(seed), TimeSpan.FromSeconds(Setting("CRMBACKUP_TESTS_FREEZE") ?? 5), output);
        havoc.Start();
        var moments = new List<TrueState>();
        var every = Math.Max(4, kills / MomentsMax);
        for (var kill = 0; kill < kills; kill++)
        {
            // Some meet the first base.
            if (kill == kills / 10)
            {
                await havoc.CalmAsync();
                await crm.ProtectingAsync(240);
            }
            await havoc.OnceAsync(moments);
            if (kill >= kills / 10 && kill % every == 0 && havoc.SourceAnswers)
                moments.Add(await TrueState.RecordAsync(crm.Source));
        }
        await havoc.CalmAsync();
        foreach (var phase in new[] { "segment-fsync", "before-commit", "before-confirm" })
        {
            await EndAtAsync(phase, crm, havoc);
            moments.Add(await TrueState.RecordAsync(crm.Source));
        }
        await clients.StopAsync();
        moments.Add(await TrueState.RecordAsync(crm.Source));
        await crm.WaitAsync(240);
        await havoc.CalmAsync();
        await crm.StopAsync();
        (await Crmbackup.RunAsync("verify", "--vault", crm.Vault)).MustBe(0);
        List<string> differences = [.. havoc.Faults, .. await GapsAsync(crm), .. await DifferencesAsync(crm, moments)];
        output.WriteLine($"kills seed {seed} {transport}: {kills} kills ({havoc.Kinds}), {moments.Count + havoc.Compared} points compared, {differences.Count} differences");
        Assert.True(differences.Count == 0, $"seed {seed}\n{string.Join('\n', differences)}");
    }

    /// <summary>Killed between two steps of a flush, and gone on from there.</summary>
    async Task EndAtAsync(string phase, Protected crm, Havoc havoc)
    {
        await crm.KillAsync();
        crm.SetEnvironment("CRMBACKUP_FAILPOINT", phase);
        crm.Start();
        var victim = crm.Processes[crm.Transport == Transport.Embedded ? "run" : "archive"];
        await Eventually.TrueAsync(() => victim.HasEnded, TimeSpan.FromSeconds(120), $"the fail point {phase} to end the process");
        Assert.Contains(phase, victim.Errors);
        crm.SetEnvironment("CRMBACKUP_FAILPOINT", null);
        output.WriteLine($"ended at {phase}");
        await crm.KillAsync();
        havoc.Start();
    }

    /// <summary>No kill is a reason for one.</summary>
    static async Task<IEnumerable<string>> GapsAsync(Protected crm) => JsonDocument
        .Parse((await Crmbackup.RunAsync("status", "--vault", crm.Vault, "--output", "json")).Output).RootElement.GetProperty("gaps").EnumerateArray()
        .Select(gap => $"a gap after {gap.GetProperty("after")}: {gap.GetProperty("reason")}");

    static async Task<IReadOnlyList<string>> DifferencesAsync(Protected crm, IReadOnlyList<TrueState> moments)
    {
        var differences = new List<string>();
        foreach (var moment in moments)
        {
            try
            {
                var database = await crm.RestoreAsync($"lsn:{moment.Lsn}");
                differences.AddRange((await TrueState.OfAsync(database)).DifferencesFrom(moment).Select(difference => $"lsn:{moment.Lsn}: {difference}"));
            }
            catch (InvalidOperationException refused)
            {
                differences.Add(refused.Message);
            }
            await crm.DropRestoredAsync();
        }
        return differences;
    }

    static int? Setting(string name) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } given ? int.Parse(given, CultureInfo.InvariantCulture) : null;
}
