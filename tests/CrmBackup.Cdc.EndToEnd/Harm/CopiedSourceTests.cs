using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A copy of the source brings our settings along, and is not what the vault is a backup of: another cluster, as pg_upgrade makes
/// one, or another database of the same.</summary>
public sealed class CopiedSourceTests(ITestOutputHelper output) : IAsyncLifetime
{
    readonly string _folder = Directory.CreateTempSubdirectory("crmbackup-copied-").FullName;

    string Vault => Path.Combine(_folder, "vault");

    string NewVault => Path.Combine(_folder, "new");

    public Task InitializeAsync() => Task.CompletedTask;

    public Task DisposeAsync()
    {
        Directory.Delete(_folder, recursive: true);
        return Task.CompletedTask;
    }

    [FactWhere(Needs.LocalServers)]
    public async Task After_pg_upgrade_every_verb_says_that_it_is_another_cluster_and_what_to_do()
    {
        await using var server = await PostgresServer.StartAsync();
        var database = await server.CreateDatabaseAsync("crm");
        await server.ExecuteAsync("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'before' FROM generate_series(1, 300) i; CREATE TABLE keyless (a int)", database);
        await ProtectAsync(server.ConnectionString(database), Vault, async () =>
        {
            await server.ExecuteAsync("UPDATE t SET v = 'told' WHERE id > 100; INSERT INTO keyless SELECT 1 FROM generate_series(1, 3)", database);
        });
        var recorded = await TrueState.OfAsync(server.ConnectionString(database));
        // From 17 on pg_upgrade takes no slot along that has something to tell, and refuses.
        await server.ExecuteAsync("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE current_setting('server_version_num')::int >= 170000");
        await server.StopAsync();
        await using var upgraded = await server.UpgradedAsync();
        if (upgraded is null)
        {
            output.WriteLine("there is no pg_upgrade: not tested");
            await server.StartAgainAsync();
            return;
        }

        var source = upgraded.ConnectionString(database);
        await RefusedAsync(source, "pg_upgrade has made another one of it");
        var init = (await Crmbackup.RunAsync("init", "--source", source, "--vault", Vault)).MustBe(3);
        Assert.Contains("choose an empty folder for --vault: after pg_upgrade, too", init.Errors);
        await upgraded.ExecuteAsync("UPDATE t SET v = 'meanwhile' WHERE id = 1; UPDATE keyless SET a = 2", database);

        // As it is said.
        (await Crmbackup.RunAsync("init", "--remove", "--yes", "--source", source)).MustBe(0);
        (await Crmbackup.RunAsync("init", "--source", source, "--vault", NewVault, "--identity", "full")).MustBe(0);
        await ProtectAsync(source, NewVault, async () => await upgraded.ExecuteAsync("DELETE FROM t WHERE id < 50", database));
        await RestoresAsync(upgraded, NewVault, await TrueState.OfAsync(source));
        await RestoresAsync(upgraded, Vault, recorded);
        await server.StartAgainAsync();
    }

    [Fact]
    public async Task A_copy_beside_the_source_is_told_from_it_and_costs_it_nothing()
    {
        await using var server = await PostgresServer.StartAsync();
        var database = await server.CreateDatabaseAsync("crm");
        await server.ExecuteAsync("CREATE TABLE t (id int PRIMARY KEY, v text)", database);
        var original = server.ConnectionString(database);
        await ProtectAsync(original, Vault, async () => await server.ExecuteAsync("INSERT INTO t VALUES (1, 'x')", database));
        await server.ExecuteAsync($"CREATE DATABASE training TEMPLATE {database}");
        var copy = server.ConnectionString("training");

        await RefusedAsync(copy, $"training is a copy of {database}");
        var init = (await Crmbackup.RunAsync("init", "--source", copy, "--vault", Vault)).MustBe(3);
        Assert.Contains("init --remove", init.Errors);
        (await Crmbackup.RunAsync("init", "--remove", "--yes", "--source", copy)).MustBe(0);
        Assert.Equal(1L, await server.ExecuteAsync($"SELECT count(*) FROM pg_replication_slots WHERE database = '{database}'"));
        (await Crmbackup.RunAsync("init", "--source", copy, "--vault", NewVault)).MustBe(0);
        await ProtectAsync(copy, NewVault, async () => await server.ExecuteAsync("INSERT INTO t VALUES (2, 'training')", "training"));

        // No gap: nothing happened to it.
        await ProtectAsync(original, Vault, async () => await server.ExecuteAsync("INSERT INTO t VALUES (3, 'true')", database));
        Assert.DoesNotContain("gap", (await Crmbackup.RunAsync("status", "--vault", Vault)).Output);
        await RestoresAsync(server, Vault, await TrueState.OfAsync(original));
    }

    /// <summary>Nothing is done, and nothing is claimed: each ends with 3, says why and what to do.</summary>
    async Task RefusedAsync(string source, string why)
    {
        foreach (var verb in new[] { "run", "status", "wait", "check" })
        {
            var refused = (await Crmbackup.RunAsync(verb, "--source", source, "--vault", Vault)).MustBe(3);
            output.WriteLine($"{verb}: {refused.Output}{refused.Errors}");
            Assert.Contains(why, refused.Output + refused.Errors);
            Assert.Contains("init --remove", refused.Output + refused.Errors);
        }
        (await Crmbackup.RunAsync("mark", "moment", "--source", source, "--vault", Vault)).MustBe(3);
        (await Crmbackup.RunAsync("verify", "--source", source, "--vault", Vault)).MustBe(3);
    }

    static async Task ProtectAsync(string source, string vault, Func<Task> work)
    {
        if (!Directory.Exists(vault))
            (await Crmbackup.RunAsync("init", "--source", source, "--vault", vault, "--identity", "full")).MustBe(0);
        await using var run = Crmbackup.Start(new Dictionary<string, string>(), "run", "--source", source, "--vault", vault);
        (await Crmbackup.RunAsync("wait", "--protected", "--timeout", "120s", "--source", source, "--vault", vault)).MustBe(0);
        await work();
        (await Crmbackup.RunAsync("wait", "--timeout", "120s", "--source", source, "--vault", vault)).MustBe(0);
        (await run.StopAsync()).MustBe(0);
    }

    static async Task RestoresAsync(PostgresServer server, string vault, TrueState recorded)
    {
        var target = server.ConnectionString($"restored_{Guid.NewGuid():N}"[..20]);
        (await Crmbackup.RunAsync("restore", "--to", "latest", "--vault", vault, "--target", target, "--verify")).MustBe(0);
        Assert.Empty((await TrueState.OfAsync(target)).DifferencesFrom(recorded));
        NpgsqlConnection.ClearAllPools();
    }
}
