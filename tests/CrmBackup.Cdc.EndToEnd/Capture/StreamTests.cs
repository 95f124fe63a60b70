using System.Diagnostics;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("postgres")]
public sealed class StreamTests(PostgresFixture postgres)
{
    [Fact]
    public async Task The_stream_is_what_the_server_decodes()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, """
            CREATE TABLE a (id int PRIMARY KEY, t text, n numeric, f float8, at timestamptz, b bytea);
            CREATE TYPE mood AS ENUM ('good', 'bad');
            CREATE TABLE b (m mood, i interval)
            """);
        await source.CopySlotAsync();
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        await source.CrmAsync("""
            INSERT INTO a SELECT i, repeat('ä', i), i / 3.0, i / 3.0, '22-11-2026 10:00:00.5+00', decode(md5(i::text), 'hex')
            FROM generate_series(1, 500) i;
            UPDATE a SET t = NULL WHERE id % 7 = 0;
            UPDATE a SET id = id + 1000 WHERE id = 13;
            DELETE FROM a WHERE id % 11 = 0
            """);
        await source.CrmAsync("""
            BEGIN;
            SAVEPOINT s; INSERT INTO b VALUES ('bad', '1 day'); ROLLBACK TO s;
            INSERT INTO b VALUES ('good', '-1 mon 03:00'); SELECT crmbackup.mark('m'); UPDATE b SET m = 'bad';
            COMMIT
            """);
        await source.CrmAsync("ALTER TABLE a ADD COLUMN late int DEFAULT 7");
        await source.CrmAsync("INSERT INTO a (id) VALUES (9999)");
        await source.CrmAsync("TRUNCATE a, b");
        await listener.CaughtUpAsync(source);

        var expected = await source.PeekAsync();
        var received = listener.Transactions.SelectMany(transaction => transaction.Entries).ToList();
        Assert.Equal(
            expected.Where(frame => frame[0] is not ((byte)'B' or (byte)'C')).Select(Convert.ToHexString),
            received.Select(entry => Convert.ToHexString(entry[0] == EntryType.OwnMessage ? entry[1..] : entry)));
        Assert.Equal(
            expected.Where(frame => frame[0] == (byte)'C').Select(frame => CommitFrame.Parse(frame).End),
            listener.Transactions.Select(transaction => transaction.End));
        // Two barriers, a mark, a DDL command.
        Assert.Equal(4, received.Count(entry => entry[0] == EntryType.OwnMessage));
        var xid = await source.AskAsync<string>("SELECT pg_snapshot_xmax(pg_current_snapshot())::text");
        // Other databases of the server take numbers meanwhile (its autovacuum does).
        Assert.InRange(listener.Transactions[^1].Begin.Xid, ulong.Parse(xid) - Math.Min(ulong.Parse(xid), 2000), ulong.Parse(xid));
    }

    [Fact]
    public async Task Transactions_streamed_before_their_commit_come_out_whole_and_in_commit_order()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server,
            "CREATE TABLE big (id int PRIMARY KEY, t text); CREATE TABLE other (id int PRIMARY KEY)");
        await source.CopySlotAsync();
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        await using var second = await source.OpenAsync();
        await using var aborted = await source.OpenAsync();
        Task Fill(Npgsql.NpgsqlConnection session, int from) => SourceDatabase.ExecuteAsync(session,
            $"INSERT INTO big SELECT i, repeat(md5(i::text), 55) FROM generate_series({from}, {from + 14_999}) i");
        await source.CrmAsync("BEGIN");
        foreach (var session in new[] { second, aborted })
            await SourceDatabase.ExecuteAsync(session, "BEGIN");
        for (var round = 0; round < 3; round++)
        {
            await Fill(source.Crm, 1_000_000 + round * 20_000);
            await source.CrmAsync("SAVEPOINT s");
            await Fill(source.Crm, 2_000_000);
            await source.CrmAsync("SELECT crmbackup.mark('undone'); ROLLBACK TO s; SAVEPOINT kept; INSERT INTO other SELECT " + round + "; RELEASE kept");
            await Fill(second, 3_000_000 + round * 20_000);
            await Fill(aborted, 4_000_000 + round * 20_000);
        }
        await SourceDatabase.ExecuteAsync(second, "SELECT crmbackup.mark('second'); COMMIT");
        await SourceDatabase.ExecuteAsync(aborted, "ROLLBACK");
        await source.CrmAsync("UPDATE big SET t = 'x' WHERE id = 1000000; COMMIT");
        await listener.CaughtUpAsync(source);

        Assert.Equal(2, listener.Transactions.Count(transaction => !transaction.Begin.End.IsNone));
        // A relation is sent once per streamed transaction, and once per session otherwise.
        static bool Counts(byte type) => type is not ((byte)'B' or (byte)'C' or (byte)'R' or (byte)'Y');
        Assert.Equal(
            (await source.PeekAsync()).Where(frame => Counts(frame[0])).Select(frame => Sha256.Of(frame)),
            listener.Transactions.SelectMany(transaction => transaction.Entries).Where(entry => Counts(entry[0]))
                .Select(entry => Sha256.Of(entry[0] == EntryType.OwnMessage ? entry.AsSpan(1) : entry)));
    }

    [Fact]
    public async Task A_forged_message_is_foreign()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, "CREATE TABLE t (id int PRIMARY KEY)");
        await source.CopySlotAsync();
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        await listener.CaughtUpAsync(source);
        var real = MessageFrame.Parse(listener.Transactions.Last(one => one.Entries.Count > 0).Entries[^1].AsSpan(1)).Content.ToArray();
        var before = listener.Transactions.Count;
        await source.CrmAsync($"""
            SELECT pg_logical_emit_message(true, 'crmbackup', decode('{Convert.ToHexString(real)}', 'hex'));
            SELECT pg_logical_emit_message(true, 'crmbackup', 'nonsense');
            SELECT pg_logical_emit_message(false, 'crmbackup', 'nonsense');
            SELECT pg_logical_emit_message(true, 'theirs', 'a message of the CRM''s own')
            """);
        await listener.CaughtUpAsync(source);
        var entries = listener.Transactions.Skip(before).SelectMany(transaction => transaction.Entries).ToList();
        Assert.Equal([EntryType.ForeignMessage, EntryType.ForeignMessage, EntryType.OwnMessage], entries.Select(entry => entry[0]));
    }

    [Fact]
    public async Task After_a_restart_everything_beyond_the_durable_position_comes_again()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, "CREATE TABLE t (id int PRIMARY KEY)");
        var started = await source.ConfirmedAsync();
        List<ReceivedTransaction> first;
        Position durable;
        await using (var listener = new Listener(source.Options()))
        {
            await listener.StartAsync();
            for (var i = 0; i < 20; i++)
                await source.CrmAsync($"INSERT INTO t VALUES ({i})");
            await listener.CaughtUpAsync(source);
            first = [.. listener.Transactions];
            // Longer than status replies are apart.
            for (var looked = Stopwatch.StartNew(); looked.Elapsed < TimeSpan.FromSeconds(2.5); await Task.Delay(100))
                Assert.Equal(started, await source.ConfirmedAsync());
            durable = new Position(1, first[10].End);
            await listener.DurableAsync(durable);
            await Eventually.TrueAsync(async () => await source.ConfirmedAsync() == durable.Lsn, TimeSpan.FromSeconds(10), "the slot to advance");
        }
        await using (var listener = new Listener(source.Options()))
        {
            await listener.StartAsync(durable);
            await listener.CaughtUpAsync(source);
            Assert.Equal(durable, listener.Controls<StreamOpened>()[0].StartedAt);
            Assert.Equal(
                first.Skip(11).Select(transaction => (transaction.Begin, transaction.End)),
                listener.Transactions.Take(first.Count - 11).Select(transaction => (transaction.Begin, transaction.End)));
            Assert.Equal(durable.Lsn, await source.ConfirmedAsync());
        }
    }

    [Fact]
    public async Task An_epoch_supersedes_the_one_before()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, "CREATE TABLE t (id int PRIMARY KEY)");
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        await listener.CaughtUpAsync(source);
        for (var i = 0; i < 3; i++)
        {
            await listener.StartAsync();
            await source.CrmAsync($"INSERT INTO t VALUES ({i})");
            await listener.CaughtUpAsync(source);
        }
        Assert.Equal(4, listener.Controls<StreamOpened>().Count);
    }

    [Fact]
    public async Task An_idle_source_holds_no_WAL_for_nothing()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, "CREATE TABLE t (id serial PRIMARY KEY)");
        await using var listener = new Listener(source.Options()) { ConfirmAll = true };
        await listener.StartAsync();
        await listener.WaitAsync(() => listener.Controls<CatalogSeen>().Count > 0, "the first look at the catalog");
        await listener.CaughtUpAsync(source);
        var transactions = listener.Transactions.Count;
        var other = await postgres.Server.CreateDatabaseAsync();
        await postgres.Server.ExecuteAsync("CREATE TABLE noise AS SELECT i, repeat('x', 500) FROM generate_series(1, 20000) i", other);
        var written = Lsn.Parse(await source.AskAsync<string>("SELECT pg_current_wal_insert_lsn()::text"));
        await Eventually.TrueAsync(async () =>
        {
            await postgres.Server.ExecuteAsync("CREATE TABLE IF NOT EXISTS more (i int); INSERT INTO more VALUES (1)", other);
            return await source.ConfirmedAsync() >= written;
        }, TimeSpan.FromSeconds(20), "the slot to advance");
        // Nothing but, where others write much, an empty one of ours that the slot can follow to.
        Assert.All(listener.Transactions.Skip(transactions), one => Assert.All(one.Entries, entry => Assert.Equal(EntryType.OwnMessage, entry[0])));
        var idle = listener.Controls<IdlePosition>();
        Assert.Equal(idle.Select(one => one.At.Lsn).Order(), idle.Select(one => one.At.Lsn));
        await postgres.Server.DropDatabaseAsync(other);
    }

    [Fact]
    public async Task Sequences_are_sampled_after_what_was_received()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server,
            "CREATE TABLE t (id serial PRIMARY KEY); CREATE SEQUENCE moved INCREMENT -5; SELECT setval('moved', -40, false); CREATE SEQUENCE \"Un used\"");
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        await source.CrmAsync("INSERT INTO t DEFAULT VALUES; INSERT INTO t DEFAULT VALUES");
        await listener.CaughtUpAsync(source);
        var end = listener.Transactions[^1].End;
        await listener.WaitAsync(() => listener.Controls<SequencesSampled>().Any(sample => sample.At.Lsn >= end), "a sample");
        var sequences = listener.Controls<SequencesSampled>()[^1].Sequences;
        Assert.Equal(
        [
            new SequenceState("public", "Un used", "1", false),
            new SequenceState("public", "moved", "-40", false, null, 0, -5),
            new SequenceState("public", "t_id_seq", "2", true, "public.t", 1, 1),
        ], sequences);
    }

    [Fact]
    public async Task A_slot_that_someone_else_reads_is_refused_in_words()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, "CREATE TABLE t (id int PRIMARY KEY)");
        await using var first = new Listener(source.Options());
        await first.StartAsync();
        await first.CaughtUpAsync(source);
        await using var second = new Listener(source.Options());
        var refused = await Assert.ThrowsAsync<RefusedException>(() => second.StartAsync());
        var pid = await source.AskAsync<int>("SELECT active_pid FROM pg_replication_slots WHERE database = current_database()");
        Assert.Contains($"being read by process {pid} (crmbackup)", refused.Message);
        Assert.Contains("pg_terminate_backend", refused.Hint);
    }

    [Fact]
    public async Task A_lost_slot_is_made_anew_and_the_gap_is_told()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, "CREATE TABLE t (id int PRIMARY KEY)");
        var asked = new Position(1, await source.ConfirmedAsync());
        await source.AskAsync<object>("SELECT pg_drop_replication_slot((SELECT value FROM crmbackup.settings WHERE key = 'slot'))");
        await source.CrmAsync("INSERT INTO t VALUES (1)");
        await using var listener = new Listener(source.Options());
        await listener.StartAsync(asked);
        var opened = listener.Controls<StreamOpened>()[0];
        Assert.True(opened.StartedAt.Lsn > asked.Lsn);
        Assert.Equal(await source.AskAsync<string>("SELECT value FROM crmbackup.settings WHERE key = 'incarnation'"), opened.Incarnation.ToString());
    }
}
