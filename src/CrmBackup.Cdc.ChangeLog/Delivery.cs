using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>One block for the archive, which owns it until disposed: keep no slice of it after. Undone when disposed, the block comes
/// again to the next reader of the lane.</summary>
public sealed class Delivery : IAsyncDisposable
{
    readonly Func<ValueTask> _done;
    readonly Action<Block> _release;
    int _state;
    const int Done = 1, Disposed = 2;

    /// <param name="done">The log may forget the block.</param>
    /// <param name="release">Takes the block back when the delivery is disposed without having been done.</param>
    internal Delivery(Block block, Func<ValueTask> done, Action<Block> release) => (Block, _done, _release) = (block, done, release);

    public Block Block { get; }

    /// <summary>The archive needs the block no more. When the connection it came by is gone, it comes again nevertheless.</summary>
    public async Task DoneAsync()
    {
        var before = Interlocked.Or(ref _state, Done);
        ObjectDisposedException.ThrowIf((before & Disposed) != 0, this);
        if ((before & Done) == 0)
            await _done();
    }

    public ValueTask DisposeAsync()
    {
        var before = Interlocked.Or(ref _state, Disposed);
        if ((before & Disposed) == 0)
        {
            if ((before & Done) != 0)
                Block.Dispose();
            else
                _release(Block);
        }
        return ValueTask.CompletedTask;
    }
}
