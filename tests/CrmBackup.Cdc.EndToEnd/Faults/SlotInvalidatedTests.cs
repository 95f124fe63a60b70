using System.Text.Json;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>The server removes WAL that the slot needed, as <c>max_slot_wal_keep_size</c> bids it: its disk is worth more than we are.</summary>
public sealed class SlotInvalidatedTests
{
    [Fact]
    public async Task A_slot_that_the_server_invalidated_is_named_is_a_gap_and_heals_by_itself()
    {
        await using var server = await PostgresServer.StartAsync(new Dictionary<string, string>
        {
            ["max_slot_wal_keep_size"] = "16MB",
            ["min_wal_size"] = "32MB",
            ["max_wal_size"] = "48MB",
        });
        await using var crm = await Protected.InitAsync(server, null, await CrmSample.CreateDatabaseAsync(server, 0.01));
        crm.Start();
        await crm.ProtectingAsync();
        await crm.ExecuteAsync("UPDATE accounts SET name = name || ' & Sons' WHERE id <= 20");
        var before = await TrueState.OfAsync(crm.Source);
        await crm.WaitAsync();
        // Nobody captures: what a machine that is off for a week comes back to.
        await crm.StopAsync();
        await crm.ExecuteAsync("UPDATE accounts SET name = name || ' Ltd.' WHERE id <= 10");
        var between = await TrueState.OfAsync(crm.Source);
        await Eventually.TrueAsync(async () =>
        {
            await crm.ExecuteAsync("""
                CREATE TABLE IF NOT EXISTS noise (doc text); INSERT INTO noise SELECT repeat(md5(i::text), 30) FROM generate_series(1, 20000) i; TRUNCATE noise; CHECKPOINT
                """);
            return (string?)await crm.ExecuteAsync("SELECT wal_status FROM pg_replication_slots WHERE database = current_database()") == "lost";
        }, TimeSpan.FromSeconds(60), "the slot to be lost");
        var status = (await Crmbackup.RunAsync("status", "--source", crm.Source, "--vault", crm.Vault)).MustBe(3);
        Assert.Contains("is lost: the server removed WAL that was not read yet", status.Output);

        crm.Start();
        await crm.ProtectingAsync();
        await crm.ExecuteAsync("DELETE FROM notes WHERE id % 2 = 0");
        var after = await TrueState.OfAsync(crm.Source);
        await crm.WaitAsync();

        using var report = JsonDocument.Parse((await Crmbackup.RunAsync("status", "--vault", crm.Vault, "--output", "json")).Output);
        var gap = Assert.Single(report.RootElement.GetProperty("gaps").EnumerateArray(), gap => gap.GetProperty("scope").GetString() == "database");
        Assert.Contains("max_slot_wal_keep_size", gap.GetProperty("reason").GetString());
        var refused = await Crmbackup.RunAsync("restore", "--vault", crm.Vault, "--to", $"lsn:{between.Lsn}", "--target", server.ConnectionString("uncovered"));
        refused.MustBe(3);
        foreach (var state in new[] { before, after })
            Assert.Empty((await TrueState.OfAsync(await crm.RestoreAsync($"lsn:{state.Lsn}"))).DifferencesFrom(state));
        await crm.StopAsync();
    }
}
