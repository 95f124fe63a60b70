using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>The server holds the slot for a reader that is gone: its machine vanished, or the walsender does not come to notice.</summary>
[Collection("postgres")]
public sealed class SilentReaderTests(PostgresFixture postgres)
{
    [FactWhere(Needs.LocalServers)]
    public async Task Whoever_is_started_meanwhile_waits_for_the_servers_patience_and_goes_on()
    {
        await using var crm = await Protected.InitAsync(postgres.Server, null, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        crm.Start();
        await crm.ProtectingAsync();
        var walsender = (int)(await crm.ExecuteAsync("SELECT active_pid FROM pg_replication_slots WHERE database = current_database()"))!;
        Signals.Send(walsender, Signals.Stop);
        try
        {
            await crm.Processes["run"].KillAloneAsync();
            await crm.ExecuteAsync("UPDATE accounts SET name = name || ' & Sons' WHERE id <= 20");
            crm.Start();
            // Longer than the walsender of a broken connection takes to end.
            await Task.Delay(TimeSpan.FromSeconds(16));
            Assert.False(crm.Processes["run"].HasEnded, crm.Logs);
        }
        finally
        {
            Signals.Send(walsender, Signals.Continue);
        }
        await crm.WaitAsync();
        await crm.StopAsync();
    }
}
