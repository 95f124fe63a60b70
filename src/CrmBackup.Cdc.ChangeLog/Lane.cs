using System.Runtime.CompilerServices;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>Blocks on their way inside one process, in order. Owns those that wait; delivered ones belong to the reader.</summary>
sealed class Lane(int blocksMax, long bytesMax)
{
    readonly Lock _lock = new();
    /// <summary>By the number given at publishing, so that what comes back undone takes its old place.</summary>
    readonly SortedDictionary<long, Block> _waiting = [];
    readonly Dictionary<long, Block> _undone = [];
    readonly Signal _changed = new();
    long _next;
    long _bytes;
    bool _read;
    bool _closed;

    public Task AddAsync(Block block, CancellationToken stop) => WhenAsync(() =>
    {
        if (_waiting.Count > 0 && (_waiting.Count >= blocksMax || _bytes + block.Bytes.Length > bytesMax))
            return false;
        Put(_next++, block);
        return true;
    }, stop);

    public async IAsyncEnumerable<Delivery> ReadAsync([EnumeratorCancellation] CancellationToken stop)
    {
        await WhenAsync(TryBeginReading, stop);
        try
        {
            while (true)
            {
                KeyValuePair<long, Block> taken = default;
                await WhenAsync(() => TryTake(out taken), stop);
                yield return new Delivery(taken.Value, () => ValueTask.CompletedTask, block => ComeBack(taken.Key, block));
            }
        }
        finally
        {
            lock (_lock)
            {
                _read = false;
                _changed.Raise();
            }
        }
    }

    public void Close()
    {
        lock (_lock)
        {
            _closed = true;
            foreach (var block in _waiting.Values.Concat(_undone.Values))
                block.Dispose();
            _waiting.Clear();
            _undone.Clear();
            _changed.Raise();
        }
    }

    bool TryBeginReading()
    {
        if (_read)
            return false;
        _read = true;
        foreach (var (number, block) in _undone)
            Put(number, block);
        _undone.Clear();
        return true;
    }

    void Put(long number, Block block)
    {
        _waiting.Add(number, block);
        _bytes += block.Bytes.Length;
    }

    bool TryTake(out KeyValuePair<long, Block> taken)
    {
        taken = _waiting.FirstOrDefault();
        if (taken.Value is null)
            return false;
        _waiting.Remove(taken.Key);
        _bytes -= taken.Value.Bytes.Length;
        return true;
    }

    void ComeBack(long number, Block block)
    {
        lock (_lock)
        {
            if (_closed)
                block.Dispose();
            else
                _undone.Add(number, block);
        }
    }

    /// <summary>Does the step, under the lock, as soon as it can be done; a cancelled call has done nothing.</summary>
    async Task WhenAsync(Func<bool> step, CancellationToken stop)
    {
        while (true)
        {
            stop.ThrowIfCancellationRequested();
            TaskCompletionSource changed;
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_closed, typeof(InProcessChangeLog));
                if (step())
                {
                    _changed.Raise();
                    return;
                }
                changed = _changed.Next();
            }
            await using var stopping = stop.Register(() => changed.TrySetCanceled(stop));
            await changed.Task;
        }
    }
}
