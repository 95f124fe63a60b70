using System.Diagnostics;
using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Npgsql;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("postgres")]
public sealed class BaseTests(PostgresFixture postgres)
{
    static ReadBaseChunk Chunk(uint oid, long from = 0, long? to = null, uint fileNode = 0, string[][]? keys = null) =>
        new(default, 0, oid, fileNode, from, to, keys);

    [Fact]
    public async Task Chunks_read_under_load_and_the_stream_give_the_table_as_it_is()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, """
            CREATE TABLE t (id int PRIMARY KEY, n int, doc text);
            INSERT INTO t SELECT i, 0, repeat('x', 200) FROM generate_series(1, 4000) i
            """);
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        using var ending = new CancellationTokenSource();
        var load = Task.WhenAll(Enumerable.Range(1, 3).Select(client => LoadAsync(source, client, ending.Token)));
        var oid = await source.OidAsync("t");
        var chunks = new List<(string Lines, BaseChunkRead Read)>();
        foreach (var (from, to) in new (long, long?)[] { (0, 40), (40, 80), (80, null), (20, 60) })
        {
            var (lines, end) = await listener.ReadAsync(Chunk(oid, from, to));
            chunks.Add((lines, Assert.IsType<BaseChunkRead>(end)));
            Assert.Equal(chunks[^1].Read.Rows, lines.Count(c => c == '\n'));
        }
        await Task.Delay(200);
        await ending.CancelAsync();
        await load;
        await listener.CaughtUpAsync(source);
        Assert.All(chunks, chunk => Assert.True(chunk.Read.Barrier.Lsn < listener.Transactions[^1].End));

        // Fold as the design says: newest chunk row wins, then every event that the oldest snapshot did not see, by key.
        var rows = new Dictionary<string, string>();
        foreach (var (lines, _) in chunks.OrderBy(chunk => Snapshot.Parse(chunk.Read.Snapshot), Comparer<Snapshot>.Create(Snapshot.CompareAge)))
            foreach (var line in lines.Split('\n', StringSplitOptions.RemoveEmptyEntries))
                rows[line.Split('\t')[0]] = line;
        var oldest = chunks.Select(chunk => Snapshot.Parse(chunk.Read.Snapshot)).Min(Comparer<Snapshot>.Create(Snapshot.CompareAge))!;
        foreach (var transaction in listener.Transactions.Where(transaction => !oldest.Sees(transaction.Begin.Xid)))
            foreach (var entry in transaction.RowsOf(oid))
                Apply(RowFrame.Parse(entry), rows);
        var expected = await source.CopyAsync("SELECT * FROM public.t ORDER BY id");
        Assert.Equal(expected, string.Concat(rows.Values.OrderBy(row => int.Parse(row.Split('\t')[0])).Select(row => row + "\n")));
    }

    static void Apply(RowFrame row, Dictionary<string, string> rows)
    {
        if (!row.OldTuple.IsEmpty)
            rows.Remove(Line(row.OldTuple).Split('\t')[0]);
        if (!row.NewTuple.IsEmpty)
            rows[Line(row.NewTuple).Split('\t')[0]] = Line(row.NewTuple);
    }

    static string Line(ReadOnlySpan<byte> tuple)
    {
        var reader = new TupleReader(tuple);
        var values = new string[reader.Count];
        for (var i = 0; i < values.Length; i++)
            values[i] = reader.Next(out var text) == ColumnState.Text ? Encoding.UTF8.GetString(text) : "\\N";
        return string.Join('\t', values);
    }

    static async Task LoadAsync(SourceDatabase source, int client, CancellationToken stop)
    {
        await using var session = await source.OpenAsync();
        var random = new Random(client);
        for (var round = 0; !stop.IsCancellationRequested; round++)
        {
            var id = random.Next(1, 4000);
            await SourceDatabase.ExecuteAsync(session, random.Next(5) switch
            {
                0 => $"INSERT INTO t VALUES ({10_000 * client + round + 10_000}, {round}, 'new')",
                1 => $"DELETE FROM t WHERE id = {id}",
                2 => $"UPDATE t SET id = {100_000 * client + round + 100_000} WHERE id = {id}",
                _ => $"UPDATE t SET n = n + 1, doc = repeat('{round}', 30) WHERE id BETWEEN {id} AND {id + 20}",
            });
        }
    }

    [Fact]
    public async Task Values_are_read_as_the_stream_carries_them()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, """
            CREATE TABLE t (id int PRIMARY KEY, f float8, at timestamptz, i interval, b bytea, m money, dropped int, t text,
                twice int GENERATED ALWAYS AS (id * 2) STORED);
            ALTER TABLE t DROP COLUMN dropped
            """);
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        await source.CrmAsync("""
            INSERT INTO t VALUES (1, 0.1::float8 + 0.2, '22/11/2026 10:00 Asia/Tokyo', '-1 mon 03:00', 'a\000b', 12.5, E'tab\tback\\slash\nline'),
                (2, 'NaN', 'infinity', NULL, '', NULL, '')
            """);
        await listener.CaughtUpAsync(source);
        var oid = await source.OidAsync("t");
        var (lines, end) = await listener.ReadAsync(Chunk(oid));
        var read = Assert.IsType<BaseChunkRead>(end);
        Assert.Equal([1, 2, 3, 4, 5, 6, 8, 9], read.Table.Columns.Select(column => (int)column.AttNum));
        var streamed = listener.Transactions.SelectMany(transaction => transaction.RowsOf(oid)).Select(entry => Line(RowFrame.Parse(entry).NewTuple)).ToArray();
        Assert.Equal(streamed.Select(line => line.Replace("\\", "\\\\").Replace("\n", "\\n").Replace("tab\tback", "tab\\tback").Replace("\\\\N", "\\N")),
            lines.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task Nobody_waits_half_a_second_behind_a_base()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, """
            CREATE TABLE t (id int PRIMARY KEY, doc text);
            INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 60000) i
            """);
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        await source.CrmAsync("SET lock_timeout = '5s'");
        // Nobody takes the rows: the server's backend is stuck in the middle of the table, and hears no cancel.
        listener.Blocked = new TaskCompletionSource();
        var reading = listener.ReadAsync(Chunk(await source.OidAsync("t")));
        await Eventually.TrueAsync(async () => await source.AskAsync<long>(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND wait_event = 'ClientWrite' AND datname = current_database()") == 1,
            TimeSpan.FromSeconds(20), "the base to be stuck");
        var waited = Stopwatch.StartNew();
        await source.CrmAsync("ALTER TABLE t ADD COLUMN late int");
        Assert.InRange(waited.Elapsed.TotalMilliseconds, 0, 500);
        listener.Blocked.SetResult();
        listener.Blocked = null;
        var failed = Assert.IsType<OrderFailed>((await reading).End);
        Assert.Equal(OrderFailure.Later, failed.Failure);
        Assert.IsType<BaseChunkRead>((await listener.ReadAsync(Chunk(await source.OidAsync("t")))).End);
    }

    [Fact]
    public async Task A_base_waits_for_transactions_that_ran_when_the_slot_was_made()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, "CREATE TABLE t (id int PRIMARY KEY)");
        await source.CrmAsync("BEGIN; INSERT INTO t VALUES (1)");
        await using var other = await source.OpenAsync();
        var xid = await source.AskAsync<string>("SELECT pg_snapshot_xmin(pg_current_snapshot())::text");
        await SourceDatabase.ExecuteAsync(other, $"UPDATE crmbackup.settings SET value = '{xid}' WHERE key = 'waitFor'");
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        var oid = await source.OidAsync("t");
        var failed = Assert.IsType<OrderFailed>((await listener.ReadAsync(Chunk(oid), awaited: xid)).End);
        Assert.Contains($"transaction {xid}", failed.Reason);
        await source.CrmAsync("COMMIT");
        var (lines, end) = await listener.ReadAsync(Chunk(oid));
        Assert.IsType<BaseChunkRead>(end);
        Assert.Equal("1\n", lines);
    }

    [Fact]
    public async Task A_table_that_is_locked_rewritten_or_gone_is_told()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        var oid = await source.OidAsync("t");
        await source.CrmAsync("BEGIN; LOCK TABLE t");
        Assert.Contains("locked", Assert.IsType<OrderFailed>((await listener.ReadAsync(Chunk(oid))).End).Reason);
        await source.CrmAsync("COMMIT");
        var before = Assert.IsType<BaseChunkRead>((await listener.ReadAsync(Chunk(oid))).End).Table.FileNode;
        await source.CrmAsync("VACUUM FULL t");
        var rewritten = Assert.IsType<OrderFailed>((await listener.ReadAsync(Chunk(oid, fileNode: before))).End);
        Assert.Equal(OrderFailure.Rewritten, rewritten.Failure);
        await source.CrmAsync("DROP TABLE t");
        Assert.Equal(OrderFailure.Gone, Assert.IsType<OrderFailed>((await listener.ReadAsync(Chunk(oid))).End).Failure);
    }

    [Fact]
    public async Task Rows_that_row_level_security_hides_from_our_role_fail_the_base_and_are_not_left_out_silently()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        var role = $"backup_{Guid.NewGuid():N}"[..20];
        await source.CrmAsync("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY first_alone ON t USING (id = 1)");
        await source.InitAsync(new SetupOptions { Role = role });
        try
        {
            await using var listener = new Listener(source.Options() with { Source = ConnectionText.Parse($"{source.ConnectionString};Username={role}") });
            await listener.StartAsync();
            var oid = await source.OidAsync("t");
            Assert.Equal("1\n2\n", (await listener.ReadAsync(Chunk(oid))).Lines);
            await source.CrmAsync($"ALTER ROLE {role} NOBYPASSRLS");
            var (lines, end) = await listener.ReadAsync(Chunk(oid));
            Assert.Equal("", lines);
            Assert.Contains("row-level security", Assert.IsType<OrderFailed>(end).Reason);
        }
        finally
        {
            await source.CrmAsync($"DROP OWNED BY {role}; DROP ROLE {role}");
        }
    }

    [Fact]
    public async Task Rows_are_read_again_by_key()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, """
            CREATE EXTENSION citext;
            CREATE TYPE stage AS ENUM ('new', 'won');
            CREATE TABLE "T t" (name citext, s stage, at timestamptz, code varchar(10), v int, PRIMARY KEY (name, s, at, code));
            INSERT INTO "T t" SELECT 'Name ' || i, 'won', '2026-11-22 10:00+00', 'c''\' || i, i FROM generate_series(1, 20000) i;
            ANALYZE "T t"
            """);
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        var oid = await source.OidAsync("T t");
        var (lines, end) = await listener.ReadAsync(Chunk(oid, keys:
        [
            ["name 7", "won", "2026-11-22 10:00:00+00", "c'\\7"],
            ["Name 11", "won", "2026-11-22 10:00:00+00", "c'\\11"],
            ["Name 12", "new", "2026-11-22 10:00:00+00", "c'\\12"],
        ]));
        Assert.Equal(2, Assert.IsType<BaseChunkRead>(end).Rows);
        Assert.Equal(
            ["Name 11\twon\t2026-11-22 10:00:00+00\tc'\\\\11\t11", "Name 7\twon\t2026-11-22 10:00:00+00\tc'\\\\7\t7"],
            lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order());
    }

    [Fact]
    public async Task A_row_larger_than_a_block_and_a_table_without_columns_are_read()
    {
        await using var source = await CaptureSource.PreparedAsync(postgres.Server, """
            CREATE TABLE wide (id int PRIMARY KEY, doc text);
            INSERT INTO wide SELECT i, repeat(chr(96 + i), 5000000) FROM generate_series(1, 3) i;
            CREATE TABLE nothing ();
            INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES
            """);
        await using var listener = new Listener(source.Options());
        await listener.StartAsync();
        var (wide, _) = await listener.ReadAsync(Chunk(await source.OidAsync("wide")));
        Assert.Equal(await source.CopyAsync("SELECT * FROM public.wide"), wide);
        var (nothing, end) = await listener.ReadAsync(Chunk(await source.OidAsync("nothing")));
        Assert.Equal("\n\n", nothing);
        Assert.Equal(2, Assert.IsType<BaseChunkRead>(end).Rows);
    }
}
