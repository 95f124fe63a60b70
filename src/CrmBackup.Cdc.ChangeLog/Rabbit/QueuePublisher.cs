using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;
using RabbitMQ.Client;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>Publishes to one queue with a bounded window of unconfirmed messages. Callers take turns. Opens its channel when first needed,
/// and again after a failure, which one call has told.</summary>
sealed class QueuePublisher(
    BrokerConnection connection, Topology topology, string queue, RabbitOptions options, bool waitsForRoom, TimeProvider clock, ILogger log)
    : IAsyncDisposable
{
    static readonly TimeSpan _look = TimeSpan.FromMilliseconds(50);
    readonly SemaphoreSlim _turn = new(1, 1);
    PublishingChannel? _channel;
    bool _full;

    /// <summary>The messages in order, nothing between them. Failed or cancelled half-way, none of them counts.</summary>
    public async Task PublishAsync(IEnumerable<(BasicProperties, ReadOnlyMemory<byte>)> messages, CancellationToken stop)
    {
        await _turn.WaitAsync(stop);
        var begun = false;
        try
        {
            var channel = await OpenAsync(stop);
            foreach (var (properties, body) in messages)
            {
                await channel.ConfirmedAsync(options.UnconfirmedMax - 1, stop);
                if (waitsForRoom)
                    await RoomAsync(channel, body.Length, stop);
                begun = true;
                await channel.SendAsync(properties, body, stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            if (begun && _channel is not null)
                await _channel.Failed($"a block for {queue} was cancelled half-way");
            throw;
        }
        catch (Exception failure)
        {
            await ForgetAsync();
            if (BrokerConnection.Explain(failure, options) is not { } explained)
                throw;
            if (ReferenceEquals(explained, failure))
                throw;
            throw explained;
        }
        finally
        {
            _turn.Release();
        }
    }

    async Task<PublishingChannel> OpenAsync(CancellationToken stop)
    {
        // Lost while everything was confirmed: nobody needs to know.
        if (_channel is { IsSpent: true })
            await ForgetAsync();
        return _channel ??= new PublishingChannel(
            await connection.OpenChannelAsync(confirms: true, channel => topology.DeclareAsync(channel, queue, stop), stop), queue);
    }

    async Task RoomAsync(PublishingChannel channel, int length, CancellationToken stop)
    {
        var waited = false;
        for (; !await channel.HasRoomAsync(length, options, stop); waited = true)
        {
            if (!_full)
                log.WaitsForRoom(queue, options.WaitingBytesMax >> 20);
            _full = true;
            await Task.Delay(_look, clock, stop);
            await channel.ConfirmedAsync(options.UnconfirmedMax, stop);
        }
        _full = waited;
    }

    async Task ForgetAsync()
    {
        if (_channel is { } channel)
            await channel.DisposeAsync();
        _channel = null;
    }

    /// <summary>A call still waiting after some seconds fails, because its channel is taken away.</summary>
    public async ValueTask DisposeAsync()
    {
        var mine = await _turn.WaitAsync(TimeSpan.FromSeconds(5));
        await ForgetAsync();
        if (mine)
            _turn.Release();
    }
}
