using System.Text;
using System.Threading.Channels;
using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>Carries out the archive's orders in the answer lane, a few at a time, while the stream goes on.</summary>
/// <param name="first">The header of an answer's block 0, but for the order.</param>
sealed class OrderDesk(
    CaptureOptions options, ISourceSession source, IChangeLog log, BlockHeader first, TimeProvider clock, ILogger logger)
{
    /// <summary>256 KiB: a part never makes a block much larger than it is to be.</summary>
    const int FilePartBytes = 256 << 10;
    /// <summary>Far more than an archive has open; it asks again for what found no room.</summary>
    readonly Channel<ArchiveRequest> _orders = Channel.CreateBounded<ArchiveRequest>(256);
    readonly Lock _lock = new();
    readonly HashSet<ulong> _taken = [];

    public void Carry(ArchiveRequest order)
    {
        lock (_lock)
            if (!_taken.Contains(NumberOf(order)) && _orders.Writer.TryWrite(order))
                _taken.Add(NumberOf(order));
    }

    static ulong NumberOf(ArchiveRequest order) => order switch
    {
        ReadBaseChunk chunk => chunk.Order,
        DumpSchema dump => dump.Order,
        _ => throw new InvalidOperationException($"{order.GetType().Name} is not an order"),
    };

    /// <summary>Ends only by a failure or by cancellation.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var workers = Enumerable.Range(0, options.BaseWorkers).Select(_ => WorkAsync(ending.Token)).ToList();
        try
        {
            await await Task.WhenAny(workers);
        }
        finally
        {
            await ending.EndAsync();
            await Task.WhenAll(workers).EndedAsync();
        }
    }

    async Task WorkAsync(CancellationToken stop)
    {
        await using var chunks = source.OpenChunkReader();
        while (true)
        {
            var order = await _orders.Reader.ReadAsync(stop);
            var number = NumberOf(order);
            var lane = new BlockLane(log, first with { Order = number }, options.BlockBytes, clock);
            var end = await AnswerAsync(order, chunks, lane, stop);
            if (end is OrderFailed failed)
                logger.OrderUnanswerable(number, failed.Reason);
            lane.Add(end.ToEntry());
            lock (_lock)
                _taken.Remove(number);
            await lane.PublishAsync(stop, last: true);
        }
    }

    async Task<ControlEntry> AnswerAsync(ArchiveRequest order, IChunkReader chunks, BlockLane lane, CancellationToken stop)
    {
        try
        {
            return order switch
            {
                ReadBaseChunk chunk => await chunks.ReadAsync(chunk, (lines, token) => AddRowsAsync(lane, lines, token), stop),
                DumpSchema => await DumpAsync(lane, stop),
                _ => throw new InvalidOperationException($"{order.GetType().Name} is not an order"),
            };
        }
        catch (PostgresException failure) when (Unsendable.Is(failure))
        {
            return new OrderFailed(Unsendable.InWords(failure), OrderFailure.Unsendable);
        }
        catch (Exception failure) when (
            (failure is PostgresException or SchemaDumpException or RefusedException || Transience.IsTransient(failure))
            && !stop.IsCancellationRequested)
        {
            // The stream must go on, whatever one table is like; the archive says which table is not covered, and asks again.
            return new OrderFailed(failure.Message);
        }
    }

    async Task<ControlEntry> DumpAsync(BlockLane lane, CancellationToken stop)
    {
        var dump = await source.DumpSchemaAsync(stop);
        foreach (var (name, bytes) in dump.Files)
            for (var at = 0; at == 0 || at < bytes.Length; at += FilePartBytes)
            {
                AddPart(lane, name, bytes.AsSpan(at, Math.Min(FilePartBytes, bytes.Length - at)));
                if (lane.IsFull)
                    await lane.PublishAsync(stop);
            }
        return new SchemaDumped(new Position(first.Timeline, dump.Before), new Position(first.Timeline, dump.After));
    }

    //  | 0x21 | name length u8 | name | bytes |
    static void AddPart(BlockLane lane, string name, ReadOnlySpan<byte> bytes)
    {
        var nameBytes = Encoding.UTF8.GetByteCount(name);
        var entry = lane.Reserve(2 + nameBytes + bytes.Length);
        entry[0] = EntryType.FilePart;
        entry[1] = (byte)nameBytes;
        Encoding.UTF8.GetBytes(name, entry[2..]);
        bytes.CopyTo(entry[(2 + nameBytes)..]);
    }

    static async ValueTask AddRowsAsync(BlockLane lane, ReadOnlyMemory<byte> lines, CancellationToken stop)
    {
        var entry = lane.Reserve(1 + lines.Length);
        entry[0] = EntryType.CopyRows;
        lines.Span.CopyTo(entry[1..]);
        if (lane.IsFull)
            await lane.PublishAsync(stop);
    }
}
