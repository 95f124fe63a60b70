using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>Blocks go down from capture to archive, requests come back. In order within a lane, at least once, bounded. It may forget
/// everything when it or either side restarts: the blocks' epoch, numbers and hashes tell, and the stream is read again from the slot.</summary>
public interface IChangeLog : IAsyncDisposable
{
    /// <summary>Capture: hands one block over; waits while too much is under way. The block is the log's in every outcome, also a failure.</summary>
    /// <exception cref="ChangeLogInterruptedException">This block, or one accepted before it, may not have arrived: end the epoch and
    /// wait for a new <see cref="StartStream"/>.</exception>
    Task PublishAsync(Block block, CancellationToken stop);

    /// <summary>Capture: what the archive asks, in order. One reader at a time; another one waits. Ends only by cancellation.</summary>
    IAsyncEnumerable<ArchiveRequest> RequestsAsync(CancellationToken stop);

    /// <summary>Archive: the blocks of one lane, in order. One reader at a time; another one waits until the first ends. What the reader
    /// before left undone comes again first. Ends only by cancellation; heals its connection by itself.</summary>
    IAsyncEnumerable<Delivery> ReadAsync(BlockKind lane, CancellationToken stop);

    /// <summary>Archive: asks capture. Lost without a failure when capture or the broker is away: ask again until the answer comes.</summary>
    Task RequestAsync(ArchiveRequest request, CancellationToken stop);
}
