namespace CrmBackup.Cdc.ChangeLog;

/// <summary>How a source's log lies on a broker. Both sides must agree on everything that shapes the queues.</summary>
public sealed record RabbitOptions
{
    /// <summary><c>amqp://user:password@host:port/vhost</c>, or <c>amqps</c> for TLS. Never logged: log <see cref="BrokerName"/>.</summary>
    public required Uri Broker { get; init; }

    /// <summary>First part of the queues' names, one per source.</summary>
    public required string Name { get; init; }

    /// <summary>Larger blocks travel in parts. 2 MiB: RabbitMQ 4 refuses more than 16 MiB, and prefetched messages lie in the reader's memory.</summary>
    public int MessageBytesMax { get; init; } = 2 << 20;

    /// <summary>Messages sent and not yet confirmed. 32: no faster above (measured), and all of them are sent again after a loss.</summary>
    public int UnconfirmedMax { get; init; } = 32;

    /// <summary>Messages a reader holds undone. 64: two flushes of 32 MiB, and not more than 128 MiB of memory.</summary>
    public ushort PrefetchMax { get; init; } = 64;

    /// <summary>Capture waits while more than this waits in a lane: the slot holds the rest. Below <see cref="QueueBytesMax"/>.</summary>
    public long WaitingBytesMax { get; init; } = 256L << 20;

    /// <summary>The broker refuses what exceeds this in a lane, whatever we do: its disk is not ours to fill.</summary>
    public long QueueBytesMax { get; init; } = 1L << 30;

    /// <summary>Requests that nobody took for so long are forgotten; the archive repeats them.</summary>
    public TimeSpan RequestAgeMax { get; init; } = TimeSpan.FromMinutes(5);

    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Pause between two tries to find the broker again; begins at 100 ms and doubles up to this.</summary>
    public TimeSpan RetryMax { get; init; } = TimeSpan.FromSeconds(5);

    public static RabbitOptions For(Uri broker, Guid vault) => new() { Broker = broker, Name = $"crmbackup.{vault:N}" };

    /// <summary>Host, port and virtual host, without the credentials.</summary>
    public string BrokerName => $"{Broker.Scheme}://{Broker.Host}:{(Broker.Port > 0 ? Broker.Port : Broker.Scheme == "amqps" ? 5671 : 5672)}{Broker.AbsolutePath}";

    public IEnumerable<string> Problems()
    {
        if (!Broker.IsAbsoluteUri || Broker.Scheme is not ("amqp" or "amqps"))
            yield return "broker must be an amqp:// or amqps:// URI";
        if (Name.Length is 0 or > 200 || !Name.All(letter => char.IsAsciiLetterOrDigit(letter) || letter is '.' or '-' or '_'))
            yield return "broker:name must be 1 to 200 letters, digits, dots, dashes or underscores";
        if (MessageBytesMax is < 4096 or > 16_000_000)
            yield return "broker:messageBytesMax must be between 4 KiB and 16 MB";
        if (UnconfirmedMax < 1)
            yield return "broker:unconfirmedMax must be at least 1";
        if (PrefetchMax < 2)
            yield return "broker:prefetchMax must be at least 2";
        if (WaitingBytesMax < MessageBytesMax)
            yield return "broker:waitingBytesMax must be at least broker:messageBytesMax";
        if (QueueBytesMax < WaitingBytesMax + (long)(UnconfirmedMax + 1) * MessageBytesMax)
            yield return "broker:queueBytesMax must exceed broker:waitingBytesMax by what may be unconfirmed";
        if (RequestAgeMax < TimeSpan.FromSeconds(1) || ConnectTimeout <= TimeSpan.Zero || RetryMax <= TimeSpan.Zero)
            yield return "broker: ages, timeouts and pauses must be greater than zero";
    }
}
