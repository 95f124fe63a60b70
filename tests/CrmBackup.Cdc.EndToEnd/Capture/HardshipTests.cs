using CrmBackup.Cdc.Core;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Each on a server of its own, which is hurt.</summary>
public sealed class HardshipTests(ITestOutputHelper output)
{
    [Fact]
    public async Task A_blocked_publisher_is_not_taken_for_a_dead_one()
    {
        await using var server = await PostgresServer.StartAsync(new Dictionary<string, string> { ["wal_sender_timeout"] = "2s" });
        await using var source = await CaptureSource.PreparedAsync(server, "CREATE TABLE t (id int PRIMARY KEY, doc text)");
        await using var listener = new Listener(source.Options(), capacity: 2);
        await listener.StartAsync();
        await listener.CaughtUpAsync(source);
        listener.Blocked = new TaskCompletionSource();
        for (var i = 0; i < 30; i++)
            await source.CrmAsync($"INSERT INTO t SELECT i, repeat('x', 1500) FROM generate_series({i * 1000}, {i * 1000 + 999}) i");
        // Much longer than the server's patience; it must stand still meanwhile.
        await Task.Delay(TimeSpan.FromSeconds(7));
        Assert.Equal(1L, await source.AskAsync<long>("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'crmbackup'"));
        listener.Blocked.SetResult();
        listener.Blocked = null;
        await listener.CaughtUpAsync(source);
        var table = await source.OidAsync("t");
        Assert.Single(listener.Controls<StreamOpened>());
        Assert.Equal(30_000, listener.Transactions.Sum(transaction => transaction.RowsOf(table).Count()));
    }

    [Fact]
    public async Task A_server_that_was_killed_is_read_again_from_the_durable_position()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var source = await CaptureSource.PreparedAsync(server, "CREATE TABLE t (id int PRIMARY KEY)");
        await using var listener = new Listener(source.Options()) { ConfirmAll = true };
        await listener.StartAsync();
        var table = await source.OidAsync("t");
        for (var round = 0; round < 3; round++)
        {
            await using (var session = await source.OpenAsync())
                for (var i = 0; i < 50; i++)
                    await SourceDatabase.ExecuteAsync(session, $"INSERT INTO t VALUES ({round * 100 + i})");
            if (round == 1)
                await server.StopAsync();
            else
                await server.KillAsync();
            await server.StartAgainAsync();
            await listener.WaitAsync(() => listener.Controls<StreamOpened>().Count > round + 1, "the stream to open again", seconds: 60);
        }
        await using var after = await source.OpenAsync();
        await SourceDatabase.ExecuteAsync(after, "INSERT INTO t VALUES (1000)");
        await listener.WaitAsync(() => listener.Transactions.SelectMany(one => one.RowsOf(table)).Any(row => Id(row) == 1000), "the last row", seconds: 60);
        Assert.Equal(
            Enumerable.Range(0, 3).SelectMany(round => Enumerable.Range(round * 100, 50)).Append(1000),
            listener.Transactions.DistinctBy(transaction => transaction.End).SelectMany(transaction => transaction.RowsOf(table)).Select(Id));
    }

    static int Id(byte[] row)
    {
        var tuple = new TupleReader(RowFrame.Parse(row).NewTuple);
        tuple.Next(out var text);
        return int.Parse(text);
    }

    [Fact]
    public async Task Commits_that_would_wait_for_us_end_the_capture()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var source = await CaptureSource.PreparedAsync(server, "CREATE TABLE t (id int PRIMARY KEY)");
        await using (var listener = new Listener(source.Options()))
        {
            await listener.StartAsync();
            await listener.CaughtUpAsync(source);
            await StandbysAsync(server, "*");
            var refused = await Assert.ThrowsAsync<RefusedException>(() => listener.Capture.WaitAsync(TimeSpan.FromSeconds(20)));
            Assert.Contains("synchronous standby", refused.Message);
        }
        await using (var listener = new Listener(source.Options()))
        {
            await Assert.ThrowsAsync<RefusedException>(() => listener.StartAsync());
            await StandbysAsync(server, "");
        }
        await using (var listener = new Listener(source.Options()))
        {
            await listener.StartAsync();
            await listener.CaughtUpAsync(source);
        }
    }

    static async Task StandbysAsync(PostgresServer server, string names)
    {
        await server.ExecuteAsync($"ALTER SYSTEM SET synchronous_standby_names = '{names}'");
        await server.ExecuteAsync("SELECT pg_reload_conf()");
    }

    [Fact]
    public async Task Another_cluster_is_refused_and_a_source_behind_the_vault_is_waited_for()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var source = await CaptureSource.PreparedAsync(server, "CREATE TABLE t (id int PRIMARY KEY)");
        await using (var listener = new Listener(source.Options()))
            Assert.Contains("cluster", (await Assert.ThrowsAsync<RefusedException>(() => listener.StartAsync(systemIdentifier: 1))).Message);
        var log = new TestLog(output);
        await using (var listener = new Listener(source.Options(), logger: log))
        {
            await listener.StartAsync(new Position(1, new Lsn(0xFF_0000_0000)), waitForIt: false);
            await Task.Delay(TimeSpan.FromSeconds(3));
            Assert.False(listener.Capture.IsCompleted);
            // Once, not at every try.
            Assert.Single(log.Lines, line => line.Contains("set back: its WAL ends before the vault's position FF/0", StringComparison.Ordinal));
        }
    }
}
