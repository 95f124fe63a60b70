using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A real vault loses its commits, and then its file system; what is salvaged restores to the same rows.</summary>
[Collection("damage")]
public sealed class SalvageTests(PostgresFixture postgres, ITestOutputHelper output) : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("crmbackup-salvage-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Without_commits_and_from_a_formatted_medium_the_same_rows_come_back()
    {
        await using var crm = await Protected.InitAsync(postgres.Server, null, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        crm.Start();
        await crm.ProtectingAsync();
        await crm.ExecuteAsync("UPDATE accounts SET name = name || ' Ltd.' WHERE id % 3 = 0");
        await crm.WaitAsync();
        (await Crmbackup.RunAsync("settle", "--vault", crm.Vault, "--now")).MustBe(0);
        await crm.ExecuteAsync("CREATE TABLE salvaged (id int PRIMARY KEY, note text)");
        await crm.ExecuteAsync("INSERT INTO salvaged SELECT g, 'row ' || g FROM generate_series(1, 500) g; DELETE FROM notes WHERE id % 2 = 0");
        // The schema is dumped anew after DDL.
        await Task.Delay(TimeSpan.FromSeconds(2));
        await crm.WaitAsync();
        var state = await TrueState.RecordAsync(crm.Source);
        await crm.WaitAsync();
        await crm.StopAsync();

        var bare = Path.Combine(_folder, "bare");
        await Shell.RunAsync($"cp -a '{crm.Vault}' '{bare}' && rm -rf '{bare}/commits' '{bare}/checkpoints' '{bare}/vault.json'");
        await EqualAsync(crm, bare, Path.Combine(_folder, "from-segments"), state);

        // Formatted over: the same blocks, a new and empty file system on them. Blocks of 4 KiB, as real disks have: with smaller ones a
        // file system so small has a border every 8 MiB, and files in pieces.
        var image = Path.Combine(_folder, "disk.img");
        await Shell.RunAsync($"export PATH=$PATH:/usr/sbin; truncate -s 100M '{image}' && mkfs.ext4 -q -F -b 4096 -d '{crm.Vault}' '{image}' && mkfs.ext4 -q -F -b 4096 -E nodiscard '{image}'");
        await EqualAsync(crm, image, Path.Combine(_folder, "from-image"), state);
    }

    async Task EqualAsync(Protected crm, string lost, string salvaged, TrueState state)
    {
        var listed = (await Crmbackup.RunAsync("salvage", lost, "--dry-run")).MustBe(0);
        output.WriteLine(listed.Output);
        Assert.Contains("public.accounts", listed.Output);
        (await Crmbackup.RunAsync("salvage", lost, "--vault", salvaged)).MustBe(0);
        (await Crmbackup.RunAsync("verify", "--vault", salvaged)).MustBe(0);
        var restored = await TrueState.OfAsync(await crm.RestoreFromAsync(salvaged, $"lsn:{state.Lsn}", "--verify"));
        Assert.True(restored.DifferencesFrom(state) is [], string.Join("; ", restored.DifferencesFrom(state)));
        await crm.DropRestoredAsync();
    }
}
