using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What our slot costs the source is bounded (rule 20).</summary>
[Collection("postgres")]
public sealed class GovernorTests(PostgresFixture postgres, ITestOutputHelper output)
{
    const string Exists = "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE database = current_database())";

    const string HundredTransactions = "DO $$ BEGIN FOR i IN 1..100 LOOP INSERT INTO t DEFAULT VALUES; COMMIT; END LOOP; END $$";

    static CaptureOptions With(CaptureOptions options, GovernorOptions governor) => options with
    {
        Governor = governor with { Every = TimeSpan.FromMilliseconds(100) },
        LongTransaction = TimeSpan.FromMilliseconds(500),
    };

    [Theory]
    [InlineData(true, "of WAL for the slot")]
    [InlineData(false, "catalog rows of")]
    public async Task A_slot_that_nobody_frees_is_let_go_and_made_anew_when_the_archive_is_back(bool bytes, string said)
    {
        // What other tests' slots keep is no age of ours: counted where there are none.
        await using var alone = bytes ? null : await PostgresServer.StartAsync();
        await using var source = await CaptureSource.PreparedAsync(alone ?? postgres.Server, "CREATE TABLE t (id serial PRIMARY KEY, doc text)");
        var log = new TestLog(output);
        var limits = bytes ? new GovernorOptions { WarnBytes = 12 << 20, LetGoBytes = 40 << 20 } : new GovernorOptions { WarnXminAge = 300, LetGoXminAge = 1000 };
        await using var listener = new Listener(With(source.Options(), limits), capacity: 2, logger: log);
        await listener.StartAsync();
        await listener.CaughtUpAsync(source);
        // The archive stands still: nothing is confirmed, nothing is taken.
        listener.Blocked = new TaskCompletionSource();
        for (var round = 0; await source.AskAsync<bool>(Exists); round++)
        {
            Assert.True(round < 60, "the slot was never let go");
            if (bytes)
                await source.CrmAsync("INSERT INTO t (doc) SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 40000)");
            else
                await source.CrmAsync(HundredTransactions);
            // Weighed every 100 ms: it warns first.
            await Task.Delay(50);
        }
        Assert.Contains(log.Lines, line => line.Contains(" 4012 ", StringComparison.Ordinal) && line.Contains(said, StringComparison.Ordinal));
        Assert.Contains(log.Lines, line => line.Contains(" 4013 ", StringComparison.Ordinal) && line.Contains(said, StringComparison.Ordinal));
        await Task.Delay(300);
        Assert.False(await source.AskAsync<bool>(Exists));
        listener.Blocked.SetResult();
        listener.Blocked = null;
        await listener.StartAsync();
        await listener.WaitAsync(() => listener.Controls<StreamOpened>().Any(opened => opened.Renewed?.Contains(said, StringComparison.Ordinal) == true), "the new slot");
        await listener.CaughtUpAsync(source);
    }

    [Fact]
    public async Task A_slot_is_not_let_go_for_what_another_one_keeps()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var other = await SourceDatabase.CreateAsync(server);
        await other.AskAsync<object>("SELECT pg_create_logical_replication_slot('forgotten', 'test_decoding')");
        await other.CrmAsync("CREATE TABLE t (id serial PRIMARY KEY, doc text)");
        for (var round = 0; round < 12; round++)
            await other.CrmAsync(HundredTransactions);
        // Made beside it, our slot begins as old as the other is.
        await using var source = await CaptureSource.PreparedAsync(server, "CREATE TABLE t (id serial PRIMARY KEY, doc text)");
        var log = new TestLog(output);
        await using var listener = new Listener(
            With(source.Options(), new GovernorOptions { WarnXminAge = 300, LetGoXminAge = 1000 }), capacity: 2, logger: log);
        await listener.StartAsync();
        await listener.WaitAsync(() => log.Lines.Any(line => line.Contains(" 4012 ", StringComparison.Ordinal)
            && line.Contains("slot forgotten of database", StringComparison.Ordinal)), "the other slot to be named");
        await Task.Delay(500);
        Assert.True(await source.AskAsync<bool>(Exists));
        // Alone, it answers for what it keeps.
        await other.AskAsync<object>("SELECT pg_drop_replication_slot('forgotten')");
        await Eventually.TrueAsync(async () => !await source.AskAsync<bool>(Exists), TimeSpan.FromSeconds(30), "our slot to be let go");
    }

    [Fact]
    public async Task The_transaction_that_holds_the_WAL_is_named_and_no_slot_is_begun_beside_it()
    {
        // What other tests write counts as well, and might be enough before anything was held for long.
        await using var alone = await PostgresServer.StartAsync();
        await using var source = await CaptureSource.PreparedAsync(alone, "CREATE TABLE t (id serial PRIMARY KEY, doc text)");
        var log = new TestLog(output);
        await using var listener = new Listener(With(source.Options(), new GovernorOptions { WarnBytes = 1 << 20, LetGoBytes = 34 << 20 }), logger: log) { ConfirmAll = true };
        await listener.StartAsync();
        await source.CrmAsync("BEGIN; INSERT INTO t (doc) VALUES ('held')");
        await source.CrmAsync("PREPARE TRANSACTION 'forgotten'");
        try
        {
            await using var busy = await source.OpenAsync();
            for (var round = 0; await source.AskAsync<bool>(Exists); round++)
            {
                Assert.True(round < 60, "the slot was never let go");
                await SourceDatabase.ExecuteAsync(busy, "INSERT INTO t (doc) SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 40000); SELECT pg_sleep(0.05)");
            }
            Assert.Contains(log.Lines, line => line.Contains(" 4013 ", StringComparison.Ordinal) && line.Contains("prepared transaction 'forgotten'", StringComparison.Ordinal));
            await listener.StartAsync(waitForIt: false);
            await listener.WaitAsync(() => log.Lines.Any(line => line.Contains(" 1002 ", StringComparison.Ordinal)), "capture to say what it waits for");
            Assert.False(await source.AskAsync<bool>(Exists));
        }
        finally
        {
            await source.CrmAsync("ROLLBACK PREPARED 'forgotten'");
        }
        await listener.WaitAsync(() => listener.Controls<StreamOpened>().Count > 1, "the new slot");
        await listener.CaughtUpAsync(source);
    }

    [Fact]
    public async Task Spilled_transactions_count_as_much_as_WAL()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, "CREATE TABLE t (id serial PRIMARY KEY, doc text); ALTER TABLE t ALTER doc SET STORAGE PLAIN");
        // What was written before the slot's position by a transaction that is still open is not streamed again: the server spills it.
        await using var open = await source.OpenAsync("Command Timeout=120");
        await using (var before = new Listener(source.Options()) { ConfirmAll = true })
        {
            await before.StartAsync();
            await before.CaughtUpAsync(source);
            await SourceDatabase.ExecuteAsync(open, "BEGIN; INSERT INTO t (doc) SELECT repeat(md5(i::text), 200) FROM generate_series(1, 15000) i");
            await before.CaughtUpAsync(source);
            var written = Lsn.Parse(await source.AskAsync<string>("SELECT pg_current_wal_flush_lsn()::text"));
            await Eventually.TrueAsync(async () => await source.ConfirmedAsync() >= written, TimeSpan.FromSeconds(30), "the slot to pass the open transaction");
        }
        var log = new TestLog(output);
        // More than the WAL alone weighs, less than both.
        var retained = await source.AskAsync<long>("SELECT (pg_current_wal_lsn() - restart_lsn)::bigint FROM pg_replication_slots WHERE database = current_database()");
        await using var listener = new Listener(With(source.Options(), new GovernorOptions { WarnBytes = retained + (20 << 20), LetGoBytes = retained + (40 << 20) }), logger: log) { ConfirmAll = true };
        await listener.StartAsync(waitForIt: false);
        await Eventually.TrueAsync(async () => !await source.AskAsync<bool>(Exists), TimeSpan.FromSeconds(60), "the slot to be let go");
        Assert.Contains(log.Lines, line => line.Contains(" 4013 ", StringComparison.Ordinal) && line.Contains("of spilled transactions for the slot", StringComparison.Ordinal));
        await SourceDatabase.ExecuteAsync(open, "ROLLBACK");
    }

    [FactWhere(Needs.LocalServers)]
    public async Task A_disk_that_runs_full_is_worth_more_than_the_slot()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, "CREATE TABLE t (id serial PRIMARY KEY, doc text)");
        var free = new DriveInfo(await source.AskAsync<string>("SELECT current_setting('data_directory')")).AvailableFreeSpace;
        foreach (var (least, letGo) in new[] { (free / 3 * 2, false), (free * 2, true) })
        {
            var log = new TestLog(output);
            await using var listener = new Listener(With(source.Options(), new GovernorOptions { FreeBytesMin = least }), capacity: 2, logger: log);
            await listener.StartAsync(waitForIt: false);
            // Little is kept for us: to let go of that would free nothing.
            await Task.Delay(500);
            Assert.True(letGo || await source.AskAsync<bool>(Exists));
            listener.Blocked = new TaskCompletionSource();
            await Eventually.TrueAsync(async () =>
            {
                if (log.Lines.Any(line => line.Contains(letGo ? " 4013 " : " 4012 ", StringComparison.Ordinal) && line.Contains("are free on the source's disk, and the source keeps", StringComparison.Ordinal)))
                    return true;
                await source.CrmAsync("INSERT INTO t (doc) SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 40000)");
                return false;
            }, TimeSpan.FromSeconds(60), letGo ? "the slot to be let go" : "the warning");
            await Eventually.TrueAsync(async () => await source.AskAsync<bool>(Exists) != letGo, TimeSpan.FromSeconds(30), "the slot's fate");
        }
    }
}
