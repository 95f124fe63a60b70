using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Two where there should be one.</summary>
[Collection("lifecycle")]
public sealed class TwoOfAKindTests(PostgresFixture postgres, RabbitFixture rabbit)
{
    [Fact]
    public async Task A_second_capture_stands_by_and_takes_over_when_the_first_is_gone()
    {
        await using var crm = await Protected.InitAsync(postgres.Server, rabbit.Server, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        crm.Start();
        await crm.ProtectingAsync();
        await using var first = crm.Processes["capture"];
        crm.StartVerb("capture");
        var second = crm.Processes["capture"];
        await Task.Delay(TimeSpan.FromSeconds(3));
        Assert.False(first.HasEnded || second.HasEnded, first.Errors + second.Errors);
        await first.KillAloneAsync();
        await crm.ExecuteAsync("UPDATE accounts SET name = name || ' & Sons' WHERE id <= 20");
        var state = await TrueState.OfAsync(crm.Source);
        await crm.WaitAsync();
        Assert.Empty((await TrueState.OfAsync(await crm.RestoreAsync("latest"))).DifferencesFrom(state));
        await crm.StopAsync();
    }
}
