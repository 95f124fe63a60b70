using System.Net;
using System.Net.Sockets;
using CrmBackup.Cdc.Postgres;
using Npgsql;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class SourceRelayTests
{
    [Fact]
    public async Task A_server_that_never_answers_is_given_up_after_the_timeout()
    {
        using var server = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        server.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        server.Listen(0);
        var port = ((IPEndPoint)server.LocalEndPoint!).Port;
        // Nobody accepts: once the queue is full, the kernel answers no more.
        var queue = Enumerable.Range(0, 4).Select(_ => new TcpClient()).ToList();
        var waiting = queue.Select(client => client.ConnectAsync(IPAddress.Loopback, port)).ToList();
        await Task.WhenAny(Task.WhenAll(waiting), Task.Delay(200));

        var refused = await Assert.ThrowsAsync<SocketException>(() => SourceRelay.OpenAsync(
            new NpgsqlConnectionStringBuilder($"Host=127.0.0.1;Port={port};Timeout=1"), CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Equal(SocketError.TimedOut, refused.SocketErrorCode);
        queue.ForEach(client => client.Dispose());
    }
}
