using System.Threading.Channels;
using CrmBackup.Cdc.Core;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>A consumer of one queue on a channel of its own. What it has when disposed goes back to the queue, in its old place.</summary>
abstract class Subscription<T>(IChannel channel) : AsyncDefaultBasicConsumer(channel), IAsyncDisposable where T : class
{
    /// <summary>Bounded by the prefetch.</summary>
    readonly Channel<T> _arrived = System.Threading.Channels.Channel.CreateUnbounded<T>();
    string _ended = "";

    /// <summary>Why there is no next one.</summary>
    public string Ended => _ended;

    /// <summary>Null when the subscription has come to its end.</summary>
    public async Task<T?> NextAsync(CancellationToken stop)
    {
        while (await _arrived.Reader.WaitToReadAsync(stop))
            // What still lies here when the channel is gone will be delivered again, before anything newer.
            if (Channel.IsOpen && _arrived.Reader.TryRead(out var item))
                return item;
            else if (!Channel.IsOpen)
                break;
        return null;
    }

    public override async Task HandleBasicDeliverAsync(
        string consumerTag, ulong deliveryTag, bool redelivered, string exchange, string routingKey,
        IReadOnlyBasicProperties properties, ReadOnlyMemory<byte> body, CancellationToken cancellationToken = default)
    {
        try
        {
            if (await ArrivedAsync(deliveryTag, properties, body) is { } item)
                _arrived.Writer.TryWrite(item);
        }
        catch (FormatViolationException failure)
        {
            // Told once, and taken off the queue: else every start would end here.
            await ForgetAsync(deliveryTag);
            _arrived.Writer.TryComplete(failure);
        }
    }

    /// <summary>Reads one message, whose memory is the channel's, or part of one (then null).</summary>
    protected abstract ValueTask<T?> ArrivedAsync(ulong tag, IReadOnlyBasicProperties properties, ReadOnlyMemory<byte> body);

    protected abstract void Release(T item);

    /// <summary>The broker may forget the message; when the channel is gone it comes again.</summary>
    protected async ValueTask ForgetAsync(ulong tag)
    {
        try
        {
            if (Channel.IsOpen)
                await Channel.BasicAckAsync(tag, multiple: false);
        }
        catch (Exception gone) when (gone is OperationInterruptedException or ObjectDisposedException or IOException)
        {
            // At least once: this is the "least".
        }
    }

    protected override Task OnCancelAsync(string[] consumerTags, CancellationToken cancellationToken = default)
    {
        End("the queue is gone");
        return base.OnCancelAsync(consumerTags, cancellationToken);
    }

    public override Task HandleChannelShutdownAsync(object channel, ShutdownEventArgs reason)
    {
        End(reason.ReplyText);
        return base.HandleChannelShutdownAsync(channel, reason);
    }

    void End(string reason)
    {
        if (_arrived.Writer.TryComplete())
            _ended = reason;
    }

    public virtual async ValueTask DisposeAsync()
    {
        using (var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5)))
            await Channel.CloseAsync(Constants.ReplySuccess, "done", abort: true, patience.Token);
        await Channel.DisposeAsync();
        End("closed");
        while (_arrived.Reader.TryRead(out var item))
            Release(item);
    }
}

/// <param name="TakeAsync">Takes the request off the queue: before it is carried out, so that one that ends us does not end us again.</param>
sealed record QueuedRequest(ArchiveRequest Request, Func<ValueTask> TakeAsync);

sealed class RequestSubscription(IChannel channel) : Subscription<QueuedRequest>(channel)
{
    protected override ValueTask<QueuedRequest?> ArrivedAsync(ulong tag, IReadOnlyBasicProperties properties, ReadOnlyMemory<byte> body) =>
        new(new QueuedRequest(ArchiveRequest.Parse(body.Span), () => ForgetAsync(tag)));

    protected override void Release(QueuedRequest item)
    {
    }
}
