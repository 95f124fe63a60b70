using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A cable between a client and a server on this machine, that a test can cut.</summary>
public sealed class Relay : IDisposable
{
    readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    readonly ConcurrentBag<Socket> _sockets = [];
    readonly int _target;
    readonly (byte[] Word, byte[] Instead)? _replaced;

    /// <param name="replaced">What the server sends in one piece, and what arrives in its place: as many bytes.</param>
    public Relay(int target, (string Word, string Instead)? replaced = null)
    {
        _target = target;
        _replaced = replaced is { } words ? (Encoding.UTF8.GetBytes(words.Word), Encoding.UTF8.GetBytes(words.Instead)) : null;
        _listener.Start();
        _ = AcceptAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Both ends see their connections reset; new ones are refused.</summary>
    public void Cut()
    {
        _listener.Stop();
        foreach (var socket in _sockets)
            socket.Close(timeout: 0);
    }

    async Task AcceptAsync()
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await _listener.AcceptSocketAsync();
            }
            catch (Exception stopped) when (stopped is SocketException or ObjectDisposedException)
            {
                return;
            }
            var server = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await server.ConnectAsync(IPAddress.Loopback, _target);
            _sockets.Add(client);
            _sockets.Add(server);
            _ = PumpAsync(client, server, null);
            _ = PumpAsync(server, client, _replaced);
        }
    }

    static async Task PumpAsync(Socket from, Socket to, (byte[] Word, byte[] Instead)? replaced)
    {
        var buffer = new byte[1 << 16];
        try
        {
            int read;
            while ((read = await from.ReceiveAsync(buffer)) > 0)
            {
                if (replaced is var (word, instead) && buffer.AsSpan(0, read).IndexOf(word) is >= 0 and var at)
                    instead.CopyTo(buffer, at);
                await to.SendAsync(buffer.AsMemory(0, read));
            }
            to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception cut) when (cut is SocketException or ObjectDisposedException)
        {
        }
    }

    public void Dispose()
    {
        Cut();
        _listener.Dispose();
    }
}
