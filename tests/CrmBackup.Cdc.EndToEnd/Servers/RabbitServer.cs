using System.Security.Cryptography;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A RabbitMQ of the tests' own, with random credentials and without management: in a container when a Docker daemon answers, else
/// the locally installed one under a temporary folder. Listens on the loopback interface only.</summary>
public abstract class RabbitServer : IAsyncDisposable
{
    protected int Port { get; } = Loopback.FreePort();
    protected string Password { get; } = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16));

    public Uri AmqpUri => new($"amqp://crmbackup:{Password}@127.0.0.1:{Port}/");

    /// <param name="settings">Lines of <c>rabbitmq.conf</c>, over the tests' defaults.</param>
    /// <param name="definitions">A file of definitions to load at the start; their users are then the only ones.</param>
    public static async Task<RabbitServer> StartAsync(IReadOnlyDictionary<string, string>? settings = null, string? definitions = null)
    {
        settings ??= new Dictionary<string, string>();
        RabbitServer server = Containers.Available ? new ContainerRabbit(settings, definitions) : new LocalRabbit(settings, definitions);
        await server.StartAgainAsync();
        return server;
    }

    /// <summary>SIGKILL to the broker and everything it started.</summary>
    public abstract Task KillAsync();

    /// <summary>SIGSTOP, to the broker and everything it started: connections stay, nothing answers until <see cref="ThawAsync"/>.</summary>
    public abstract Task FreezeAsync();

    public abstract Task ThawAsync();

    public abstract Task StopAsync();

    /// <summary>Starts the stopped or killed broker on the same data and port; returns when it answers.</summary>
    public abstract Task StartAgainAsync();

    public abstract Task<string> LogTailAsync();

    public abstract ValueTask DisposeAsync();

    protected async Task AnswersAsync(Func<bool> runs)
    {
        var factory = new ConnectionFactory { Uri = AmqpUri, RequestedConnectionTimeout = TimeSpan.FromSeconds(5) };
        await Eventually.TrueAsync(async () =>
        {
            try
            {
                await using var connection = await factory.CreateConnectionAsync();
                return true;
            }
            catch (BrokerUnreachableException refused) when (refused.InnerException is AuthenticationFailureException)
            {
                // It answers; a broker that loads definitions has their users only.
                return true;
            }
            catch (BrokerUnreachableException failure)
            {
                return runs() ? false
                    : throw new InvalidOperationException($"RabbitMQ ended while starting:\n{await LogTailAsync()}", failure);
            }
        }, TimeSpan.FromSeconds(90), "RabbitMQ to answer");
    }
}
