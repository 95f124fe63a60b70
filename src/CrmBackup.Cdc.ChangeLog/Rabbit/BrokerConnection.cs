using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>One connection, made when first needed and made anew when it is gone. RabbitMQ.Client's own recovery is off: it brings channels
/// back behind our back, and what was unconfirmed on them would be lost without a word.</summary>
sealed class BrokerConnection(RabbitOptions options, string purpose, ILogger log) : IAsyncDisposable
{
    readonly Lock _lock = new();
    readonly CancellationTokenSource _closing = new();
    Task<IConnection>? _connection;

    /// <summary>Throws <see cref="BackupException"/>s only; <see cref="ChangeLogInterruptedException"/> when trying again can help.</summary>
    public async Task<IChannel> OpenChannelAsync(bool confirms, Func<IChannel, Task> prepare, CancellationToken stop)
    {
        try
        {
            var connection = await OpenAsync(stop);
            var channel = await connection.CreateChannelAsync(new CreateChannelOptions(
                publisherConfirmationsEnabled: confirms, publisherConfirmationTrackingEnabled: false), stop);
            try
            {
                await prepare(channel);
                return channel;
            }
            catch
            {
                await channel.DisposeAsync();
                throw;
            }
        }
        catch (Exception failure) when (!stop.IsCancellationRequested && Explain(failure, options) is { } explained)
        {
            throw explained;
        }
    }

    /// <summary>The open connection, or the one that is being made. Nobody's token ends a connection in the making: others wait for it too,
    /// and the client library takes seconds to give one up.</summary>
    Task<IConnection> OpenAsync(CancellationToken stop)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_closing.IsCancellationRequested, typeof(RabbitChangeLog));
            if (_connection is null or { IsFaulted: true } or { IsCanceled: true } or { IsCompletedSuccessfully: true, Result.IsOpen: false })
                _connection = ConnectAsync(_connection);
            return _connection.WaitAsync(stop);
        }
    }

    async Task<IConnection> ConnectAsync(Task<IConnection>? before)
    {
        if (before is { IsCompletedSuccessfully: true })
            await before.Result.DisposeAsync();
        var factory = new ConnectionFactory
        {
            Uri = options.Broker,
            AutomaticRecoveryEnabled = false,
            TopologyRecoveryEnabled = false,
            RequestedConnectionTimeout = options.ConnectTimeout,
            ContinuationTimeout = options.ConnectTimeout,
            HandshakeContinuationTimeout = options.ConnectTimeout,
            // A peer that is gone without a word is noticed after two of these; only then the next reader becomes the active one.
            RequestedHeartbeat = TimeSpan.FromSeconds(10),
            ClientProvidedName = $"crmbackup {purpose} {Environment.MachineName} {Environment.ProcessId}",
        };
        var connection = await factory.CreateConnectionAsync(_closing.Token);
        connection.ConnectionBlockedAsync += (_, blocked) =>
        {
            log.BrokerBlocks(options.BrokerName, blocked.Reason);
            return Task.CompletedTask;
        };
        connection.ConnectionUnblockedAsync += (_, _) =>
        {
            log.BrokerUnblocks(options.BrokerName);
            return Task.CompletedTask;
        };
        log.Connected(options.BrokerName, purpose);
        return connection;
    }

    /// <summary>What a failure of the client library means to the user; null when it is not one of the broker's.</summary>
    public static BackupException? Explain(Exception failure, RabbitOptions options)
    {
        for (var cause = failure; cause is not null; cause = cause.InnerException)
        {
            if (cause is BackupException known)
                return known;
            if (cause is AuthenticationFailureException)
                return new RefusedException($"the broker {options.BrokerName} refuses the user or the password", "Check the credentials in --broker.");
            if (cause is OperationInterruptedException { ShutdownReason: { } reason })
                switch (reason.ReplyCode)
                {
                    case Constants.PreconditionFailed:
                        return new RefusedException($"the broker {options.BrokerName} has a queue made with other settings: {reason.ReplyText}",
                            "Give both sides the same settings, or delete the queue: the slot still holds what is in it.");
                    case Constants.AccessRefused or Constants.NotAllowed:
                        return new RefusedException($"the broker {options.BrokerName} does not allow this: {reason.ReplyText}",
                            "Grant the user the virtual host and its queues: see deploy/rabbitmq.");
                    case Constants.CommandInvalid or Constants.FrameError or Constants.NotImplemented or Constants.SyntaxError:
                        return null;
                }
        }
        return failure is RabbitMQClientException or IOException or System.Net.Sockets.SocketException or TimeoutException
            or OperationCanceledException or System.Security.Authentication.AuthenticationException
            ? new ChangeLogInterruptedException($"the broker {options.BrokerName} is away: {Innermost(failure)}", failure) : null;
    }

    static string Innermost(Exception failure) => failure.InnerException is { } inner ? Innermost(inner) : failure.Message;

    public async ValueTask DisposeAsync()
    {
        Task<IConnection>? last;
        lock (_lock)
        {
            _closing.Cancel();
            last = _connection;
        }
        if (last is null)
            return;
        await last.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        if (last.IsCompletedSuccessfully)
        {
            await last.Result.CloseAsync(Constants.ReplySuccess, "done", TimeSpan.FromSeconds(5), abort: true);
            await last.Result.DisposeAsync();
        }
    }
}
