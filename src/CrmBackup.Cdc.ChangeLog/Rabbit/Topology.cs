using CrmBackup.Cdc.Core;
using RabbitMQ.Client;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>The queues of one source's log, reached through the default exchange. Whoever comes first makes them.
/// <code>
///  NAME.stream    blocks of the stream    durable, one active reader, refuses what exceeds its length
///  NAME.answer    blocks of answers       the same
///  NAME.requests  the archive's requests  durable, one active reader, forgets the oldest and the old
/// </code></summary>
sealed class Topology(RabbitOptions options)
{
    const int RequestsWaitingMax = 1024;

    public string Requests => $"{options.Name}.requests";

    public string Lane(BlockKind lane) => lane switch
    {
        BlockKind.Stream => $"{options.Name}.stream",
        BlockKind.Answer => $"{options.Name}.answer",
        _ => throw new ArgumentOutOfRangeException(nameof(lane), lane, "no such lane"),
    };

    public async Task DeclareAsync(IChannel channel, string queue, CancellationToken stop)
    {
        var arguments = new Dictionary<string, object?> { ["x-queue-type"] = "classic", ["x-single-active-consumer"] = true };
        if (queue == Requests)
        {
            arguments["x-max-length"] = RequestsWaitingMax;
            arguments["x-message-ttl"] = (long)options.RequestAgeMax.TotalMilliseconds;
        }
        else
        {
            arguments["x-max-length-bytes"] = options.QueueBytesMax;
            arguments["x-overflow"] = "reject-publish";
        }
        await channel.QueueDeclareAsync(queue, durable: true, exclusive: false, autoDelete: false, arguments, cancellationToken: stop);
    }
}
