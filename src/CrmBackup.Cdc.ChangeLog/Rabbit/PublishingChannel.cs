using CrmBackup.Cdc.Core;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>An open channel on which one queue is published to, and what is not yet confirmed on it. After a failure nothing more can be
/// sent: a block sent after a lost one would be of no use. One caller at a time.</summary>
sealed class PublishingChannel : IAsyncDisposable
{
    readonly Lock _lock = new();
    readonly Signal _changed = new();
    readonly SortedSet<ulong> _unconfirmed = [];
    /// <summary>Sizes of what may still wait in the queue, oldest first; as exact as the last look at the queue.</summary>
    readonly Queue<int> _waiting = new();
    readonly IChannel _channel;
    readonly string _queue;
    long _waitingBytes;
    ulong _sent;

    public PublishingChannel(IChannel channel, string queue)
    {
        (_channel, _queue) = (channel, queue);
        channel.BasicAcksAsync += (_, ack) => Confirmed(ack.DeliveryTag, ack.Multiple);
        channel.BasicNacksAsync += (_, _) => Failed($"the broker refused a message: its queue {queue} is full, or broken");
        channel.BasicReturnAsync += (_, back) => Failed($"the broker returned a message for {queue}: {back.ReplyText}");
        channel.ChannelShutdownAsync += ShutDown;
    }

    /// <summary>Why something sent here may not have arrived.</summary>
    public string? Failure { get; private set; }

    /// <summary>Closed, and nothing was lost by it.</summary>
    public bool IsSpent
    {
        get
        {
            lock (_lock)
                return !_channel.IsOpen && Failure is null && _unconfirmed.Count == 0;
        }
    }

    /// <summary>Returns when the message was given to the connection; the memory is the caller's again.</summary>
    public async Task SendAsync(BasicProperties properties, ReadOnlyMemory<byte> body, CancellationToken stop)
    {
        lock (_lock)
        {
            _unconfirmed.Add(++_sent);
            _waiting.Enqueue(body.Length);
            _waitingBytes += body.Length;
        }
        await _channel.BasicPublishAsync("", _queue, mandatory: true, properties, body, stop);
    }

    /// <summary>Waits until at most that many messages are unconfirmed.</summary>
    /// <exception cref="ChangeLogInterruptedException">One of them failed.</exception>
    public async Task ConfirmedAsync(int unconfirmedMax, CancellationToken stop)
    {
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (Failure is not null)
                    throw new ChangeLogInterruptedException(Failure);
                if (_unconfirmed.Count <= unconfirmedMax)
                    return;
                changed = _changed.Next().Task;
            }
            await changed.WaitAsync(stop);
        }
    }

    /// <summary>Whether that many more bytes may wait in the queue. Looks at the queue only when what was sent since could be too much.</summary>
    public async Task<bool> HasRoomAsync(int length, RabbitOptions options, CancellationToken stop)
    {
        if (_waitingBytes + length <= options.WaitingBytesMax)
            return true;
        int underWay;
        lock (_lock)
            underWay = _unconfirmed.Count;
        // The queue answers before it has taken in what is under way to it.
        var count = await _channel.MessageCountAsync(_queue, stop) + underWay;
        lock (_lock)
        {
            while (_waiting.Count > count)
                _waitingBytes -= _waiting.Dequeue();
            // What a former process left there was at most this large each.
            var others = (count - _waiting.Count) * (long)options.MessageBytesMax;
            return count == 0 || _waitingBytes + others + length <= options.WaitingBytesMax;
        }
    }

    public Task Failed(string reason)
    {
        lock (_lock)
        {
            Failure ??= reason;
            _changed.Raise();
        }
        return Task.CompletedTask;
    }

    Task Confirmed(ulong tag, bool multiple)
    {
        lock (_lock)
        {
            if (multiple)
                while (_unconfirmed.Count > 0 && _unconfirmed.Min <= tag)
                    _unconfirmed.Remove(_unconfirmed.Min);
            else
                _unconfirmed.Remove(tag);
            _changed.Raise();
        }
        return Task.CompletedTask;
    }

    Task ShutDown(object sender, ShutdownEventArgs shutdown)
    {
        lock (_lock)
        {
            if (_unconfirmed.Count > 0)
                Failure ??= $"the connection was lost with {_unconfirmed.Count} unconfirmed messages for {_queue}: {shutdown.ReplyText}";
            _changed.Raise();
        }
        return Task.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await _channel.CloseAsync(Constants.ReplySuccess, "done", abort: true, patience.Token);
        await _channel.DisposeAsync();
    }
}
