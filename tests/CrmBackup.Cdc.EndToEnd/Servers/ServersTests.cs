using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

public sealed class ServersTests
{
    [Fact]
    public async Task A_killed_postgres_comes_back_with_its_data()
    {
        var before = await ListenersAsync();
        await using var server = await PostgresServer.StartAsync(new Dictionary<string, string> { ["work_mem"] = "5MB" });
        var database = await server.CreateDatabaseAsync("kept");
        await server.ExecuteAsync("CREATE TABLE t AS SELECT 7 AS n", database);
        await server.ExecuteAsync("SELECT pg_create_logical_replication_slot('s', 'pgoutput')", database);

        await server.KillAsync();
        await server.StartAgainAsync();

        Assert.Equal(7, await server.ExecuteAsync("SELECT n FROM t", database));
        Assert.Equal("5MB", await server.ExecuteAsync("SHOW work_mem"));
        Assert.True(File.Exists(Path.Combine(server.BinDirectory, "pg_dump")));
        await server.StopAsync();
        await server.StartAgainAsync();
        await server.DropDatabaseAsync(database);
        Assert.Null(await server.ExecuteAsync($"SELECT 1 FROM pg_database WHERE datname = '{database}'"));
        await AssertLoopbackOnlyAsync(before);
    }

    [Fact]
    public async Task A_killed_rabbit_comes_back_at_the_same_address()
    {
        var before = await ListenersAsync();
        await using var server = await RabbitServer.StartAsync();
        await server.KillAsync();
        await server.StartAgainAsync();
        await AssertLoopbackOnlyAsync(before);
        await server.StopAsync();
    }

    [Fact]
    public async Task A_run_that_ends_leaves_no_server_behind_however_stubborn()
    {
        var home = Directory.CreateTempSubdirectory("crmbackup-orphan-").FullName;
        var process = await ServerProcess.StartAsync(
            home, Path.Combine(home, "log"), ["/bin/sh", "-c", "trap '' INT QUIT TERM; sleep 1000 & while :; do wait; done"]);
        Assert.True(process.Runs);
        process.Orphan();
        await Eventually.TrueAsync(() => !process.Runs && !Directory.Exists(home), TimeSpan.FromSeconds(10), "the server to be gone");
    }

    /// <summary>Where a PostgreSQL, an epmd or an Erlang node listens now.</summary>
    static async Task<HashSet<string>> ListenersAsync()
    {
        string[] programs = ["\"postgres\"", "\"epmd\"", "\"beam.smp\""];
        return [.. (await Command.RunAsync("ss", "-Hltnp")).Split('\n').Where(line => programs.Any(line.Contains))
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[3])];
    }

    static async Task AssertLoopbackOnlyAsync(HashSet<string> before)
    {
        if (Containers.Available)
            return;
        var listeners = await ListenersAsync();
        listeners.ExceptWith(before);
        Assert.NotEmpty(listeners);
        Assert.All(listeners, address => Assert.Matches(@"^(127\.0\.0\.1|\[::1\]):\d+$", address));
    }
}
