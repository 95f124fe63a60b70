using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>An older copy of the source's files is put in its place: the same cluster, the same timeline, the same LSNs and transaction ids
/// a second time, with other content.</summary>
public sealed class SetBackTests(ITestOutputHelper output)
{
    const string Tables = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'both' FROM generate_series(1, 300) i";

    [TheoryWhere(Needs.LocalServers)]
    // Capture runs on, and sees the source come up behind the vault.
    [InlineData(true, true)]
    // It is started when the source has overtaken the vault: nothing looks odd.
    [InlineData(false, true)]
    // As a base backup is: then the slot is gone like any other that was lost.
    [InlineData(false, false)]
    public async Task A_source_that_was_set_back_is_noticed_however_far_it_has_come_and_both_histories_are_kept_apart(bool running, bool slotCopied)
    {
        await using var server = await PostgresServer.StartAsync();
        await using var crm = await Guarded.StartAsync(server, Tables, output);
        await server.StopAsync();
        var copy = await server.CopyFilesAsync();
        if (!slotCopied)
            foreach (var slot in Directory.GetDirectories(Path.Combine(copy, "pg_replslot")))
                Directory.Delete(slot, recursive: true);
        await server.StartAgainAsync();
        // What is lost: rows under the same keys and transaction ids, and a table whose OID will be another one's.
        await crm.PersonAsync("UPDATE t SET v = 'lost' WHERE id > 100; DELETE FROM t WHERE id > 250; INSERT INTO t SELECT i, 'lost' FROM generate_series(1000, 1400) i");
        await crm.PersonAsync("CREATE TABLE lost (a text, b text); INSERT INTO lost SELECT 'x', 'y' FROM generate_series(1, 50)");
        for (var i = 0; i < 100; i++)
            await crm.PersonAsync($"UPDATE t SET v = 'lost {i}' WHERE id = {i + 1}");
        await crm.EqualsSourceAsync();
        var lost = await RowsAsync(server.ConnectionString(crm.Source.Name));
        var end = crm.Vault.State.CoveredTo!;
        if (!running)
            await crm.StopAsync();
        await server.StopAsync();
        await server.SetBackAsync(copy);
        await server.StartAgainAsync();

        if (running)
            await crm.UntilAsync(() => crm.Log.Lines.Any(line => line.Contains("before the vault's position", StringComparison.Ordinal)), "capture to say what it waits for");
        await crm.PersonAsync("CREATE TABLE other (n bigint PRIMARY KEY); INSERT INTO other SELECT generate_series(1, 70); UPDATE t SET v = 'after' WHERE id < 150");
        while (Lsn.Parse((string)(await server.ExecuteAsync("SELECT pg_current_wal_flush_lsn()::text"))!).Value <= end.Position.Lsn.Value + 100_000)
            await crm.PersonAsync("INSERT INTO t SELECT i, 'after' FROM (SELECT max(id) + generate_series(1, 20) AS i FROM t) more");
        if (!running)
            await crm.StartAsync();
        await crm.UntilAsync(() => crm.HasGap(GapScope.Database, "set back"), "the gap");
        await crm.EqualsSourceAsync();
        await crm.PersonAsync("UPDATE t SET v = 'later' WHERE id < 50; INSERT INTO other VALUES (1000)");
        await crm.EqualsSourceAsync();

        Assert.Single(crm.Gaps(GapScope.Database));
        var gap = crm.Gaps(GapScope.Database)[0];
        // What the source still said while it shut down may be in it.
        Assert.InRange(gap.After.Lsn.Value, end.Position.Lsn.Value, end.Position.Lsn.Value + 100_000);
        // Beyond, nothing is covered until the new bases are complete; before, the lost history is what it was.
        Assert.DoesNotContain(Coverage.Of(crm.Vault.State).Database, range => range.Holds(gap.After with { Lsn = new Lsn(gap.After.Lsn.Value + 1) }));
        Assert.Equal(lost, await RestoredAsync(server, crm, new RestoreTarget.AtLsn(gap.After.Lsn)));
        Assert.Equal(await RowsAsync(server.ConnectionString(crm.Source.Name)), await RestoredAsync(server, crm, new RestoreTarget.Latest()));
    }

    [Fact]
    public async Task A_source_that_only_restarted_is_no_gap_whatever_stood_last()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var crm = await Guarded.StartAsync(server, Tables, output);
        // Streamed before its commit; rolled back; prepared; empty; of somebody else.
        string[] last =
        [
            "INSERT INTO t SELECT i, repeat(md5(i::text), 60) FROM generate_series(10000, 60000) i",
            "BEGIN; SAVEPOINT s; INSERT INTO t SELECT i, repeat(md5(i::text), 60) FROM generate_series(100000, 150000) i; ROLLBACK TO s; CREATE TABLE made (a int); COMMIT",
            "BEGIN; DELETE FROM t WHERE id = 7; PREPARE TRANSACTION 'p'",
            "COMMIT PREPARED 'p'",
            "SELECT pg_logical_emit_message(true, 'theirs', 'x')",
            "CREATE UNLOGGED TABLE u AS SELECT 1 AS a",
        ];
        foreach (var sql in last)
        {
            await crm.PersonAsync(sql);
            await crm.DurableAsync();
            if (sql.Length % 2 == 0)
                await server.KillAsync();
            else
                await server.StopAsync();
            await server.StartAgainAsync();
        }
        await crm.EqualsSourceAsync();
        Assert.Empty(crm.Gaps(GapScope.Database));
    }

    [Fact]
    public async Task A_slot_that_somebody_moved_is_a_gap_and_bases_wait_for_what_ran_then()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var crm = await Guarded.StartAsync(server, Tables, output);
        await crm.EqualsSourceAsync();
        await crm.StopAsync();
        await crm.PersonAsync("UPDATE t SET v = 'passed' WHERE id < 100");
        await crm.PersonAsync("SELECT pg_replication_slot_advance(slot_name, pg_current_wal_flush_lsn()) FROM pg_replication_slots");
        await using var open = new NpgsqlConnection(server.ConnectionString(crm.Source.Name) + ";Pooling=false");
        await open.OpenAsync();
        await using var begun = await open.BeginTransactionAsync();
        await using var writes = new NpgsqlCommand("INSERT INTO t VALUES (-1, 'open') RETURNING pg_current_xact_id()::text", open, begun);
        var xid = (string)(await writes.ExecuteScalarAsync())!;
        await crm.StartAsync();
        await crm.UntilAsync(() => crm.HasGap(GapScope.Database, "the slot is at"), "the gap");
        await crm.UntilAsync(() => crm.Log.Lines.Any(line => line.Contains(xid, StringComparison.Ordinal)), "the base to say what it waits for");
        await begun.CommitAsync();
        await crm.EqualsSourceAsync();
        Assert.Single(crm.Gaps(GapScope.Database));
    }

    [Fact]
    public async Task While_only_others_write_the_slot_follows_by_empty_transactions_of_ours()
    {
        await using var server = await PostgresServer.StartAsync();
        await using var crm = await Guarded.StartAsync(server, Tables, output);
        await server.ExecuteAsync("CREATE TABLE noise AS SELECT i, repeat('x', 500) FROM generate_series(1, 80000) i");
        var written = Lsn.Parse((string)(await server.ExecuteAsync("SELECT pg_current_wal_flush_lsn()::text"))!);
        await Eventually.TrueAsync(async () => await crm.Source.ConfirmedAsync() >= written, TimeSpan.FromSeconds(60), "the slot to follow");
        // And then stands still with the source.
        await Task.Delay(TimeSpan.FromSeconds(1));
        var before = (string)(await server.ExecuteAsync("SELECT pg_current_wal_insert_lsn()::text"))!;
        await Task.Delay(TimeSpan.FromSeconds(2));
        var moved = (decimal)(await server.ExecuteAsync($"SELECT pg_current_wal_insert_lsn() - '{before}'"))!;
        Assert.InRange(moved, 0, 4096);
        Assert.Empty(crm.Gaps(GapScope.Database));
    }

    static async Task<string> RowsAsync(string connection)
    {
        await using var session = new NpgsqlConnection(connection + ";Pooling=false");
        await session.OpenAsync();
        await using var command = new NpgsqlCommand("""
            SELECT string_agg(format('%s: %s', relname, query_to_xml(format('SELECT * FROM %s x ORDER BY x', oid::regclass), true, true, '')), E'\n' ORDER BY relname)
            FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
            """, session);
        return (string)(await command.ExecuteScalarAsync())!;
    }

    static async Task<string> RestoredAsync(PostgresServer server, Guarded crm, RestoreTarget to)
    {
        var target = server.ConnectionString($"restored_{Guid.NewGuid():N}"[..20]);
        await new Restorer(crm.Vault, TimeProvider.System, NullLogger.Instance).RunAsync(new RestoreOptions { To = to, Target = target }, null, default);
        return await RowsAsync(target);
    }
}
