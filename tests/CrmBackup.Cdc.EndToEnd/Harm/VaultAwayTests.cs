using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>The vault's medium takes no data for a while: a small disk of its own that is filled, made read-only, unmounted; a folder that is gone.</summary>
[Collection("vault away")]
public sealed class VaultAwayTests(PostgresFixture postgres, RabbitFixture rabbit)
{
    [TheoryWhere(Needs.Root)]
    [InlineData("full", "no room left")]
    [InlineData("read-only", "is read-only")]
    [InlineData("unmounted", "holds no vault any more")]
    [InlineData("gone", "there is no folder")]
    public async Task It_is_waited_for_said_once_shown_by_status_and_work_goes_on_by_itself(string trouble, string said)
    {
        await using var crm = await Protected.InitAsync(postgres.Server, null, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        // A disk of its own, 64 MB, takes the vault over.
        var disk = crm.Vault + ".disk";
        Directory.CreateDirectory(disk);
        await Command.RunAsync("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk);
        try
        {
            await Command.RunAsync("cp", "-a", $"{crm.Vault}/.", disk);
            Directory.Delete(crm.Vault, recursive: true);
            Directory.CreateDirectory(crm.Vault);
            await MountAsync(disk, crm.Vault);
            crm.Start();
            await crm.ProtectingAsync();
            var run = crm.Processes["run"];
            await BeginAsync(trouble, disk, crm.Vault);
            await crm.ExecuteAsync("UPDATE accounts SET name = name || ' & Sons' WHERE id <= 20");
            await Eventually.TrueAsync(() => run.Errors.Contains(said, StringComparison.Ordinal), TimeSpan.FromSeconds(60), $"'{said}'");
            var status = await Crmbackup.RunAsync("status", "--vault", crm.Vault);
            status.MustBe(3);
            // Longer than a few tries.
            await Task.Delay(TimeSpan.FromSeconds(5));
            Assert.False(run.HasEnded, run.Errors);
            Assert.Single(run.Errors.Split('\n'), line => line.Contains("is waited for", StringComparison.Ordinal));
            if (trouble is "unmounted")
                // Nothing is put into what is not the vault.
                Assert.Empty(Directory.GetFileSystemEntries(crm.Vault));
            if (trouble is "gone")
                Assert.False(Directory.Exists(crm.Vault));
            else if (trouble is not "unmounted")
                Assert.Contains("nothing is written", status.Output);
            await EndAsync(trouble, disk, crm.Vault);
            await crm.ProtectingAsync();
            await crm.WaitAsync();
            Assert.False(run.HasEnded, run.Errors);
            Assert.Contains("takes data again", run.Errors);
            var state = await TrueState.OfAsync(crm.Source);
            var restored = await TrueState.OfAsync(await crm.RestoreAsync("latest", "--verify"));
            Assert.Empty(restored.DifferencesFrom(state));
            await crm.StopAsync();
        }
        finally
        {
            await crm.KillAsync();
            // Each layer of it.
            foreach (var mounted in File.ReadAllLines("/proc/mounts").Select(line => line.Split(' ')[1]).Where(at => at == crm.Vault || at == disk).Reverse())
                await Command.RunAsync("umount", "-l", mounted);
        }
    }

    [FactWhere(Needs.Root)]
    public async Task A_worker_waits_too_and_gives_its_job_back()
    {
        await using var crm = await Protected.InitAsync(postgres.Server, rabbit.Server, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        // The worker's machine has mounted the vault on its own, and may not write.
        var mounted = crm.Vault + ".worker";
        Directory.CreateDirectory(mounted);
        await MountAsync(crm.Vault, mounted);
        try
        {
            await Command.RunAsync("mount", "-o", "remount,bind,ro", mounted);
            crm.Start("--flush", "300ms");
            await crm.ProtectingAsync();
            await using var worker = Crmbackup.Start(
                new Dictionary<string, string>(), "worker", "--vault", mounted, "--broker", rabbit.Server.AmqpUri.ToString());
            await crm.ExecuteAsync("UPDATE accounts SET name = name || ' & Sons' WHERE id <= 20");
            await crm.WaitAsync();
            await using var settle = Crmbackup.Start(new Dictionary<string, string>(), "settle", "--now", "--vault", crm.Vault);
            await Eventually.TrueAsync(() => worker.Errors.Contains("is read-only", StringComparison.Ordinal), TimeSpan.FromSeconds(60), "the worker to say what it waits for");
            await Eventually.TrueAsync(() => crm.Processes["archive"].Errors.Contains("is given out again", StringComparison.Ordinal), TimeSpan.FromSeconds(30), "the job to be given back");
            // Longer than a few tries.
            await Task.Delay(TimeSpan.FromSeconds(4));
            Assert.False(worker.HasEnded, worker.Errors);
            Assert.Single(worker.Errors.Split('\n'), line => line.Contains("is waited for", StringComparison.Ordinal));
            Assert.False(settle.HasEnded, settle.Output);
            // The archive writes, and this is its machine.
            (await Crmbackup.RunAsync("status", "--vault", crm.Vault)).MustBe(0);
            await Command.RunAsync("mount", "-o", "remount,bind,rw", mounted);
            (await settle.EndAsync(TimeSpan.FromMinutes(2))).MustBe(0);
            Assert.Contains("takes data again", worker.Errors);
            (await worker.StopAsync()).MustBe(0);
            await crm.StopAsync();
        }
        finally
        {
            await crm.KillAsync();
            await Command.RunAsync("umount", "-l", mounted);
        }
    }

    [Fact]
    public async Task Another_vault_in_its_place_is_refused_and_not_filled()
    {
        await using var crm = await Protected.InitAsync(postgres.Server, null, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        await using var other = await Protected.InitAsync(postgres.Server, null, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        crm.Start();
        await crm.ProtectingAsync();
        var run = crm.Processes["run"];
        Directory.Move(crm.Vault, crm.Vault + ".aside");
        await crm.ExecuteAsync("UPDATE accounts SET name = name || ' & Sons' WHERE id <= 20");
        await Eventually.TrueAsync(() => run.Errors.Contains("is waited for", StringComparison.Ordinal), TimeSpan.FromSeconds(60), "the wait");
        await Command.RunAsync("cp", "-a", other.Vault, crm.Vault);
        var ended = (await run.EndAsync(TimeSpan.FromSeconds(60))).MustBe(3);
        Assert.Contains("expected was", ended.Errors);
        Assert.Empty(Directory.GetFiles(crm.Vault, "*.parquet", SearchOption.AllDirectories));
    }

    static Task MountAsync(string disk, string vault) => Command.RunAsync("mount", "--bind", disk, vault);

    static async Task BeginAsync(string trouble, string disk, string vault)
    {
        switch (trouble)
        {
            case "full":
                // Until not one page is left.
                await Assert.ThrowsAnyAsync<InvalidOperationException>(() => Command.RunAsync("dd", "if=/dev/zero", $"of={disk}/tmp/filler", "bs=4k"));
                break;
            case "read-only":
                // Over the other: a mount that somebody writes through cannot become read-only by hand.
                await MountAsync(disk, vault);
                await Command.RunAsync("mount", "-o", "remount,bind,ro", vault);
                break;
            case "unmounted": await Command.RunAsync("umount", "-l", vault); break;
            case "gone":
                await Command.RunAsync("umount", "-l", vault);
                Directory.Delete(vault);
                break;
        }
    }

    static async Task EndAsync(string trouble, string disk, string vault)
    {
        switch (trouble)
        {
            case "full": File.Delete($"{disk}/tmp/filler"); break;
            case "read-only": await Command.RunAsync("umount", "-l", vault); break;
            default:
                Directory.CreateDirectory(vault);
                await MountAsync(disk, vault);
                break;
        }
    }
}
