using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Reads rows of one table under one snapshot, in one short transaction, as COPY text. Used for one chunk after another;
/// not thread-safe.</summary>
/// <param name="waitFor">Transactions that must have ended in the chunk's snapshot (rule 4).</param>
public sealed class BaseChunkReader(
    NpgsqlConnectionStringBuilder settings, IReadOnlyList<ulong> waitFor, uint timeline, LockYield yield, TimeProvider clock) : IChunkReader
{
    const int LockTries = 10;
    static readonly TimeSpan _lockPause = TimeSpan.FromMilliseconds(100);
    NpgsqlConnection? _connection;

    public async Task<ControlEntry> ReadAsync(ReadBaseChunk order, TakeRows take, CancellationToken stop)
    {
        _connection ??= await SourceConnection.OpenAsync(settings, stop);
        using var reader = yield.Watch(_connection.ProcessID, stop);
        try
        {
            return await ReadAsync(_connection, order, take, reader.Stop);
        }
        catch (Exception failure) when (
            reader.Yielded && !stop.IsCancellationRequested && failure is NpgsqlException or OperationCanceledException)
        {
            await CloseAsync();
            return new OrderFailed("gave way to a session that waited for the table");
        }
        catch (PostgresException slow) when (order.Ranges is not null && slow.SqlState == PostgresErrorCodes.QueryCanceled)
        {
            await CloseAsync();
            return new OrderFailed("its keys cannot be compared in a short transaction", OrderFailure.Costly);
        }
        catch
        {
            await CloseAsync();
            throw;
        }
    }

    async Task<ControlEntry> ReadAsync(NpgsqlConnection connection, ReadBaseChunk order, TakeRows take, CancellationToken stop)
    {
        var (name, failed) = await LockAsync(connection, order.Oid, stop);
        if (failed is not null)
            return failed;
        // The lock came first, and LOCK takes no snapshot: no rewrite lies between this snapshot and the rows.
        var (snapshot, image) = await LookAsync(connection, order.Oid, stop);
        failed = Problem(order, name!, snapshot, image);
        long rows = 0;
        RangesRead? ranges = null;
        if (failed is null && order.Ranges is not null && order.FileNode == 0
            && await KeyRangeReader.ObstacleAsync(connection, image!, order.Ranges.Column, stop) is { } obstacle)
            failed = new OrderFailed(obstacle, OrderFailure.Costly);
        if (failed is null && order.Ranges is { } wanted)
            (rows, ranges) = await KeyRangeReader.ReadAsync(connection, image!, await PublishedRows.FromAsync(connection, image!, stop), wanted, take, stop);
        else if (failed is null)
            rows = await CopyOut.RunAsync(connection, await SqlAsync(connection, order, image!, stop), take, stop);
        await ExecuteAsync(connection, "COMMIT", stop);
        if (failed is not null)
            return failed;
        // The lock keeps the table as it was, not the types of its columns, and their texts are always today's.
        if (image!.Columns.Any(column => column.Rule is not null) && (await TableCatalog.FindAsync(connection, order.Oid, stop) is not { } after
            || !image.Columns.Select(column => (column.AttNum, column.Rule)).SequenceEqual(after.Columns.Select(column => (column.AttNum, column.Rule)))))
            return new OrderFailed($"a type of {image.Schema}.{image.Name} was changed while it was read");
        var barrier = await Barrier.EmitAsync(connection, $"base of {order.Oid}", stop);
        return new BaseChunkRead(snapshot.ToString(), image!, new Position(timeline, barrier), rows) { Ranges = ranges };
    }

    OrderFailed? Problem(ReadBaseChunk order, string locked, Core.Snapshot snapshot, CatalogTable? image)
    {
        if (image is null)
            return new OrderFailed($"the table with OID {order.Oid} is gone", OrderFailure.Gone);
        if (SqlText.Qualified(image.Schema, image.Name) != locked)
            return new OrderFailed($"{image.Schema}.{image.Name} was renamed just now");
        foreach (var xid in waitFor)
            if (!snapshot.Sees(xid))
                return new OrderFailed($"waits for transaction {xid}, which ran when the slot was made and has not ended");
        if (order.FileNode != 0 && image.FileNode != order.FileNode)
            return new OrderFailed(
                $"{image.Schema}.{image.Name} has another filenode: it was rewritten since its base began", OrderFailure.Rewritten);
        if (order.Ranges is { } ranges && !image.Columns.Any(column => column.AttNum == ranges.Column && OrderedKey.Orders(column.TypeOid)))
            return new OrderFailed($"{image.Schema}.{image.Name} has another key than it had", OrderFailure.Rewritten);
        return null;
    }

    /// <summary>Begins the transaction with ACCESS SHARE on the table, without ever standing in the table's lock queue.</summary>
    async Task<(string? Name, OrderFailed? Failed)> LockAsync(NpgsqlConnection connection, uint oid, CancellationToken stop)
    {
        for (var tries = 1; ; tries++)
        {
            if (await NameAsync(connection, oid, stop) is not { } name)
                return (null, new OrderFailed($"the table with OID {oid} is gone", OrderFailure.Gone));
            await ExecuteAsync(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", stop);
            try
            {
                await ExecuteAsync(connection, $"LOCK TABLE ONLY {name} IN ACCESS SHARE MODE NOWAIT", stop);
                return (name, null);
            }
            catch (PostgresException refused) when (refused.SqlState
                is PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName)
            {
                await ExecuteAsync(connection, "ROLLBACK", stop);
                if (tries == LockTries)
                    return (null, new OrderFailed($"{name} is locked by another session"));
                await Task.Delay(_lockPause, clock, stop);
            }
        }
    }

    static async Task<string?> NameAsync(NpgsqlConnection connection, uint oid, CancellationToken stop)
    {
        const string sql = """
            SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.oid = $1 AND c.relkind IN ('r', 'p')
            """;
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = oid, DataTypeName = "oid" } } };
        await using var row = await command.ExecuteReaderAsync(stop);
        return await row.ReadAsync(stop) ? SqlText.Qualified(row.GetString(0), row.GetString(1)) : null;
    }

    static async Task<(Core.Snapshot Snapshot, CatalogTable? Image)> LookAsync(
        NpgsqlConnection connection, uint oid, CancellationToken stop)
    {
        const string sql = "SELECT pg_current_snapshot()::text, crmbackup.table_image($1)::text";
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = oid, DataTypeName = "oid" } } };
        await using var row = await command.ExecuteReaderAsync(stop);
        await row.ReadAsync(stop);
        return (Core.Snapshot.Parse(row.GetString(0)), row.IsDBNull(1) ? null : TableCatalog.Parse(row.GetString(1)));
    }

    static async Task<string> SqlAsync(
        NpgsqlConnection connection, ReadBaseChunk order, CatalogTable image, CancellationToken stop)
    {
        var published = await PublishedRows.FromAsync(connection, image, stop);
        if (order.Keys is { } keys)
        {
            await ExecuteAsync(connection, KeyedRows.Settings, stop);
            return await KeyedRows.SqlAsync(connection, image, published, keys, stop);
        }
        var columns = string.Join(", ", image.Columns.Where(column => column.Generated == 'n').Select(column => $"t.{SqlText.Identifier(column.Name)}"));
        var pages = (order.FromPage, order.ToPage) switch
        {
            (0, null) => "",
            (var from, null) => $" WHERE t.ctid >= '({from},0)'",
            (0, { } to) => $" WHERE t.ctid < '({to},0)'",
            var (from, to) => $" WHERE t.ctid >= '({from},0)' AND t.ctid < '({to},0)'",
        };
        return $"COPY (SELECT {columns} FROM {published}{pages}) TO STDOUT";
    }

    static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(stop);
    }

    async Task CloseAsync()
    {
        if (Interlocked.Exchange(ref _connection, null) is { } connection)
            await connection.DisposeAsync();
    }

    public async ValueTask DisposeAsync() => await CloseAsync();
}
