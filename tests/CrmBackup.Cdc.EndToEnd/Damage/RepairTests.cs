using System.Text.Json;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A vault that <c>run --parity 2</c> wrote loses files and bits; what is mended restores to the same rows.</summary>
[Collection("damage")]
public sealed class RepairTests(PostgresFixture postgres)
{
    [Fact]
    public async Task Restore_points_that_rot_took_are_restored_again_after_a_repair()
    {
        await using var crm = await Protected.InitAsync(postgres.Server, null, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        crm.Start("--parity", "2");
        await crm.ProtectingAsync();
        await crm.ExecuteAsync("UPDATE accounts SET name = name || ' Ltd.' WHERE id % 3 = 0; DELETE FROM notes WHERE id % 2 = 0");
        await crm.WaitAsync();
        (await Crmbackup.RunAsync("settle", "--vault", crm.Vault, "--now")).MustBe(0);
        var state = await TrueState.RecordAsync(crm.Source);
        await crm.WaitAsync();
        await crm.StopAsync();
        // What came since, and what ended the run.
        (await Crmbackup.RunAsync("settle", "--vault", crm.Vault, "--now", "--parity", "2")).MustBe(0);
        var sound = (await Crmbackup.RunAsync("verify", "--vault", crm.Vault, "--output", "json")).MustBe(0);
        Assert.Equal(0, JsonDocument.Parse(sound.Output).RootElement.GetProperty("withoutParity").GetInt32());

        foreach (var segment in Directory.GetFiles(Path.Combine(crm.Vault, "tables"), "*.parquet", SearchOption.AllDirectories)
            .Where(file => file.Contains("accounts", StringComparison.Ordinal) || file.Contains("notes", StringComparison.Ordinal)).Order(StringComparer.Ordinal).Take(2))
            File.Delete(segment);
        File.Delete(Path.Combine(crm.Vault, "vault.json"));
        Flip(Path.Combine(crm.Vault, "commits", "00000000", "000000000003.json"));
        foreach (var file in Directory.GetFiles(Path.Combine(crm.Vault, "schema"), "*.sql", SearchOption.AllDirectories))
            Flip(file);

        Assert.Contains("can be mended", (await Crmbackup.RunAsync("verify", "--vault", crm.Vault)).MustBe(4).Output, StringComparison.Ordinal);
        (await Crmbackup.RunAsync("restore", "--vault", crm.Vault, "--to", $"lsn:{state.Lsn}", "--target", crm.Source, "--dry-run")).MustBe(3);
        var repaired = (await Crmbackup.RunAsync("verify", "--vault", crm.Vault, "--repair")).MustBe(0);
        Assert.Contains(", from parity.", repaired.Output, StringComparison.Ordinal);
        var restored = await TrueState.OfAsync(await crm.RestoreAsync($"lsn:{state.Lsn}", "--verify"));
        Assert.True(restored.DifferencesFrom(state) is [], string.Join("; ", restored.DifferencesFrom(state)));
    }

    static void Flip(string file)
    {
        var bytes = File.ReadAllBytes(file);
        bytes[bytes.Length / 2] ^= 1;
        File.WriteAllBytes(file, bytes);
    }
}
