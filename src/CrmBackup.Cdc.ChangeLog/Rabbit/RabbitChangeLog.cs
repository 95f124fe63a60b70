using System.Runtime.CompilerServices;
using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;
using RabbitMQ.Client;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>One side of a change log that a RabbitMQ broker carries: capture and archive each have one of the same name. The broker may
/// forget everything: the slot holds it until the archive says that it is durable.</summary>
public sealed class RabbitChangeLog : IChangeLog
{
    const ushort RequestsPrefetch = 16;
    readonly RabbitOptions _options;
    readonly TimeProvider _clock;
    readonly ILogger _log;
    readonly Topology _topology;
    /// <summary>Two connections: a broker in need stops reading from those that publish, and would then not see what readers have done.</summary>
    readonly BrokerConnection _sending;
    readonly BrokerConnection _receiving;
    readonly Dictionary<BlockKind, QueuePublisher> _lanes;
    readonly QueuePublisher _requests;

    public RabbitChangeLog(RabbitOptions options, TimeProvider clock, ILogger log)
    {
        if (options.Problems().FirstOrDefault() is { } problem)
            throw new UsageException(problem, "Correct the broker's settings.");
        (_options, _clock, _log) = (options, clock, log);
        _topology = new Topology(options);
        _sending = new BrokerConnection(options, "sends", log);
        _receiving = new BrokerConnection(options, "receives", log);
        _lanes = Enum.GetValues<BlockKind>().ToDictionary(lane => lane, lane => Publisher(_topology.Lane(lane), waitsForRoom: true));
        _requests = Publisher(_topology.Requests, waitsForRoom: false);
    }

    QueuePublisher Publisher(string queue, bool waitsForRoom) =>
        new(_sending, _topology, queue, _options, waitsForRoom, _clock, _log);

    public async Task PublishAsync(Block block, CancellationToken stop)
    {
        using (block)
            await _lanes[block.Header.Kind].PublishAsync(
                BlockPart.Cut(block, _options.MessageBytesMax).Select(cut => (cut.Part.Properties(), cut.Bytes)), stop);
    }

    public async Task RequestAsync(ArchiveRequest request, CancellationToken stop)
    {
        try
        {
            await _requests.PublishAsync([(new BasicProperties { Persistent = true, Type = "request" }, request.ToBytes())], stop);
        }
        catch (ChangeLogInterruptedException interrupted)
        {
            _log.RequestLost(request.GetType().Name, interrupted.Message);
        }
    }

    public IAsyncEnumerable<Delivery> ReadAsync(BlockKind lane, CancellationToken stop) => FollowAsync(
        _topology.Lane(lane), _options.PrefetchMax, channel => new BlockSubscription(channel, lane, _options.PrefetchMax, _log), stop);

    public async IAsyncEnumerable<ArchiveRequest> RequestsAsync([EnumeratorCancellation] CancellationToken stop)
    {
        var queued = FollowAsync(_topology.Requests, RequestsPrefetch, channel => new RequestSubscription(channel), stop);
        await foreach (var next in queued)
        {
            await next.TakeAsync();
            yield return next.Request;
        }
    }

    /// <summary>Reads a queue, and goes on reading it after each interruption.</summary>
    async IAsyncEnumerable<T> FollowAsync<T>(
        string queue, ushort prefetch, Func<IChannel, Subscription<T>> consumer, [EnumeratorCancellation] CancellationToken stop)
        where T : class
    {
        while (true)
        {
            await using var subscription = await SubscribeAsync(queue, prefetch, consumer, stop);
            _log.Reading(queue, _options.BrokerName);
            while (await subscription.NextAsync(stop) is { } item)
                yield return item;
            _log.ReadingInterrupted(queue, subscription.Ended);
        }
    }

    async Task<Subscription<T>> SubscribeAsync<T>(
        string queue, ushort prefetch, Func<IChannel, Subscription<T>> consumer, CancellationToken stop)
        where T : class
    {
        var first = TimeSpan.FromMilliseconds(100);
        for (var pause = first; ; pause = TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, _options.RetryMax.Ticks)))
        {
            try
            {
                Subscription<T>? subscription = null;
                await _receiving.OpenChannelAsync(confirms: false, async channel =>
                {
                    await _topology.DeclareAsync(channel, queue, stop);
                    await channel.BasicQosAsync(0, prefetch, global: false, stop);
                    subscription = consumer(channel);
                    await channel.BasicConsumeAsync(queue, autoAck: false, subscription, stop);
                }, stop);
                return subscription!;
            }
            catch (ChangeLogInterruptedException failure)
            {
                if (pause == first)
                    _log.BrokerAway(queue, failure.Message);
                else
                    _log.BrokerStillAway(queue, pause);
                await Task.Delay(pause, _clock, stop);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var publisher in _lanes.Values.Append(_requests))
            await publisher.DisposeAsync();
        await _sending.DisposeAsync();
        await _receiving.DisposeAsync();
    }
}
