using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>One connection, made when first needed and made anew when it is gone. RabbitMQ.Client's own recovery is off: it brings channels
/// back behind our back, and what was unconfirmed on them would be lost without a word.</summary>
sealed class BrokerConnection(RabbitOptions options, string purpose, ILogger log) : IAsyncDisposable
{
    readonly SemaphoreSlim _turn = new(1, 1);
    IConnection? _connection;
    bool _disposed;

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

    async Task<IConnection> OpenAsync(CancellationToken stop)
    {
        await _turn.WaitAsync(stop);
        try
        {
            ObjectDisposedException.ThrowIf(_disposed, typeof(RabbitChangeLog));
            if (_connection is { IsOpen: true })
                return _connection;
            if (_connection is not null)
                await _connection.DisposeAsync();
            _connection = null;
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
            _connection = await factory.CreateConnectionAsync(stop);
            _connection.ConnectionBlockedAsync += (_, blocked) =>
            {
                log.BrokerBlocks(options.BrokerName, blocked.Reason);
                return Task.CompletedTask;
            };
            _connection.ConnectionUnblockedAsync += (_, _) =>
            {
                log.BrokerUnblocks(options.BrokerName);
                return Task.CompletedTask;
            };
            log.Connected(options.BrokerName, purpose);
            return _connection;
        }
        finally
        {
            _turn.Release();
        }
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
        await _turn.WaitAsync();
        _disposed = true;
        if (_connection is { } connection)
        {
            await connection.CloseAsync(Constants.ReplySuccess, "done", TimeSpan.FromSeconds(5), abort: true);
            await connection.DisposeAsync();
        }
        _turn.Release();
    }
}
