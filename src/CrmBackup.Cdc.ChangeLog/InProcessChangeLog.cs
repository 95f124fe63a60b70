using System.Runtime.CompilerServices;
using System.Threading.Channels;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>The embedded change log: capture and archive in one process share one instance.</summary>
public sealed class InProcessChangeLog : IChangeLog
{
    /// <summary>Newer requests push out the oldest: they are repeated until answered.</summary>
    const int RequestsWaitingMax = 1024;
    readonly Dictionary<BlockKind, Lane> _lanes;
    readonly SemaphoreSlim _requestReader = new(1, 1);
    readonly Channel<ArchiveRequest> _requests = Channel.CreateBounded<ArchiveRequest>(
        new BoundedChannelOptions(RequestsWaitingMax) { FullMode = BoundedChannelFullMode.DropOldest });

    /// <param name="capacity">Blocks that may wait in each lane.</param>
    /// <param name="bytesMax">Bytes that may wait in each lane; one larger block may wait alone.</param>
    public InProcessChangeLog(int capacity, long bytesMax = 64L << 20) => _lanes = new()
    {
        [BlockKind.Stream] = new Lane(capacity, bytesMax),
        [BlockKind.Answer] = new Lane(capacity, bytesMax),
    };

    public async Task PublishAsync(Block block, CancellationToken stop)
    {
        try
        {
            await _lanes[block.Header.Kind].AddAsync(block, stop);
        }
        catch
        {
            block.Dispose();
            throw;
        }
    }

    public IAsyncEnumerable<Delivery> ReadAsync(BlockKind lane, CancellationToken stop) => _lanes[lane].ReadAsync(stop);

    public async IAsyncEnumerable<ArchiveRequest> RequestsAsync([EnumeratorCancellation] CancellationToken stop)
    {
        await _requestReader.WaitAsync(stop);
        try
        {
            while (true)
                yield return await _requests.Reader.ReadAsync(stop);
        }
        finally
        {
            _requestReader.Release();
        }
    }

    public async Task RequestAsync(ArchiveRequest request, CancellationToken stop) =>
        await _requests.Writer.WriteAsync(request, stop);

    public ValueTask DisposeAsync()
    {
        _requests.Writer.TryComplete(new ObjectDisposedException(nameof(InProcessChangeLog)));
        foreach (var lane in _lanes.Values)
            lane.Close();
        return ValueTask.CompletedTask;
    }
}
