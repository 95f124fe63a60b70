using System.Threading.Channels;
using MassTransit;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>Jobs and events of one vault: inside the process, or over RabbitMQ. Blocks never travel here. Starts without its broker and finds
/// it later; nothing waits for it longer than it says.</summary>
public sealed class ControlPlane : IHostedService, IAsyncDisposable
{
    static readonly TimeSpan _patience = TimeSpan.FromSeconds(10);
    /// <summary>Events wait here for the broker; the oldest give way. They are news, not the record.</summary>
    const int EventsWaitingMax = 256;
    readonly IBusControl _bus;
    readonly ILogger _log;
    readonly CancellationTokenSource _closing = new();
    readonly Channel<object> _events = Channel.CreateBounded<object>(
        new BoundedChannelOptions(EventsWaitingMax) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true });
    readonly List<Func<HostReceiveEndpointHandle>> _endpoints = [];
    readonly TaskCompletionSource _connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    Task _running = Task.CompletedTask;

    ControlPlane(Guid vault, IBusControl bus, ILoggerFactory logs) =>
        (Vault, _bus, _log) = (vault, bus, logs.CreateLogger<ControlPlane>());

    public Guid Vault { get; }

    public static ControlPlane CreateInMemory(Guid vault, ILoggerFactory logs)
    {
        LogContext.ConfigureCurrentLogContext(logs);
        return new ControlPlane(vault, Bus.Factory.CreateUsingInMemory(_ => { }), logs);
    }

    /// <param name="broker"><c>amqp://user:password@host:port/vhost</c> or <c>amqps</c>.</param>
    public static ControlPlane CreateRabbit(Guid vault, Uri broker, ILoggerFactory logs)
    {
        LogContext.ConfigureCurrentLogContext(logs);
        var user = broker.UserInfo.Split(':', 2).Select(Uri.UnescapeDataString).ToArray();
        var secure = broker.Scheme == "amqps";
        var host = new UriBuilder(secure ? "rabbitmqs" : "rabbitmq", broker.Host, broker.Port > 0 ? broker.Port : secure ? 5671 : 5672, broker.AbsolutePath);
        var bus = Bus.Factory.CreateUsingRabbitMq(rabbit => rabbit.Host(host.Uri, settings =>
        {
            settings.Username(user.ElementAtOrDefault(0) is { Length: > 0 } name ? name : "guest");
            settings.Password(user.ElementAtOrDefault(1) ?? "guest");
            settings.Heartbeat(TimeSpan.FromSeconds(10));
            settings.ConnectionName($"crmbackup jobs {Environment.MachineName} {Environment.ProcessId}");
            if (secure)
                settings.UseSsl(tls => tls.ServerName = broker.Host);
        }));
        return new ControlPlane(vault, bus, logs);
    }

    /// <summary>The queue of this vault's jobs or results of one kind.</summary>
    public string Queue(string kind) => $"crmbackup.{Vault:N}.{kind}";

    /// <summary>Takes messages of a type off a queue, one at a time. Several processes that do so share the work; what a process that is
    /// killed had not finished comes to another one.</summary>
    /// <remarks>Before <see cref="StartAsync"/>: the endpoints are connected then, and not as soon as MassTransit could.</remarks>
    /// <param name="handle">Its token ends when the process stops. What it throws is logged, and the message is gone.</param>
    public void Take<T>(string queue, Func<T, CancellationToken, Task> handle) where T : class =>
        _endpoints.Add(() => _bus.ConnectReceiveEndpoint(queue, endpoint =>
        {
            endpoint.ConfigureConsumeTopology = false;
            endpoint.PrefetchCount = 1;
            endpoint.ConcurrentMessageLimit = 1;
            // Who asked notices that no answer comes, and asks again: no queue of errors that nobody reads.
            endpoint.DiscardFaultedMessages();
            endpoint.DiscardSkippedMessages();
            endpoint.Handler<T>(context => handle(context.Message, _closing.Token));
        }));

    /// <summary>Sees the events of a type from the start on, of all vaults. Before <see cref="StartAsync"/>.</summary>
    public void Observe<T>(Func<T, Task> handle) where T : class =>
        _endpoints.Add(() => _bus.ConnectReceiveEndpoint(endpoint => endpoint.Handler<T>(context => handle(context.Message))));

    /// <summary>Puts a message on a queue. It stays there until taken, or until it is too old.</summary>
    /// <exception cref="TimeoutException">The broker did not take it within seconds.</exception>
    public async Task SendAsync<T>(string queue, T message, TimeSpan? timeToLive, CancellationToken stop) where T : class
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
        patience.CancelAfter(_patience);
        try
        {
            // What is sent to a queue of the process before it is there is lost without a word.
            await _connected.Task.WaitAsync(patience.Token);
            var endpoint = await _bus.GetSendEndpoint(new Uri($"queue:{queue}"));
            await endpoint.Send(message, context => context.TimeToLive = timeToLive, patience.Token).WaitAsync(patience.Token);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new TimeoutException($"the broker took no message for {queue} within {_patience.TotalSeconds:0} s");
        }
    }

    /// <summary>Tells whoever wants to know. Never waits, never fails.</summary>
    public void Announce(object happened) => _events.Writer.TryWrite(happened);

    /// <summary>Returns at once: without a broker the bus goes on looking for it.</summary>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        _running = RunAsync();
        return Task.CompletedTask;
    }

    async Task RunAsync()
    {
        await StartBusAsync();
        await PublishEventsAsync();
    }

    async Task StartBusAsync()
    {
        try
        {
            await _bus.StartAsync(_closing.Token);
            foreach (var connect in _endpoints)
                await connect().Ready.WaitAsync(_closing.Token);
            _connected.TrySetResult();
            _log.ControlPlaneStarted(Vault);
        }
        catch (Exception failure)
        {
            if (!_closing.IsCancellationRequested)
                _log.ControlPlaneFailed(failure, Vault);
        }
    }

    async Task PublishEventsAsync()
    {
        while (!_closing.IsCancellationRequested)
            try
            {
                await foreach (var happened in _events.Reader.ReadAllAsync(_closing.Token))
                    await _bus.Publish(happened, _closing.Token).WaitAsync(_closing.Token);
            }
            catch (Exception failure)
            {
                // News, not the record: what it was about stands in the vault.
                if (!_closing.IsCancellationRequested)
                    _log.EventLost(failure.Message);
            }
    }

    /// <summary>Workers are told to stop, and given some seconds to say so.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _closing.CancelAsync();
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(_patience);
        try
        {
            await _running.WaitAsync(patience.Token);
            await _bus.StopAsync(patience.Token).WaitAsync(patience.Token);
        }
        catch (OperationCanceledException)
        {
            _log.ControlPlaneAbandoned(Vault);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!_closing.IsCancellationRequested)
            await StopAsync(CancellationToken.None);
        _closing.Dispose();
    }
}
