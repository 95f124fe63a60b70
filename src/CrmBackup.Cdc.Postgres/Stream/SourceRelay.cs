using System.Net.Sockets;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Stands between Npgsql and the server, inside this process, so that what a walsender sends row by row is read in large pieces:
/// waking a reader for every row costs both sides more than the row. Forwards bytes and understands none of them: authentication and TLS
/// stay Npgsql's, end to end. Npgsql reaches it by a unix socket in a folder only we may enter; no port is opened.</summary>
public sealed class SourceRelay : IDisposable
{
    /// <summary>What a unix socket's kernel buffer holds of small messages is little: sleep only when it was nearly empty.</summary>
    const int UnixEnough = 32 << 10;
    const int UnixPause = 1;
    const int TcpEnough = 256 << 10;
    const int TcpPause = 5;
    const int PairsMax = 8;

    readonly string _host;
    readonly int _port;
    readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    readonly ManualResetEvent _stopped = new(false);
    readonly Lock _lock = new();
    readonly List<Socket> _sockets = [];
    Socket? _first;
    bool _closed;
    bool _disposed;

    SourceRelay(string host, int port, Socket first)
    {
        (_host, _port, _first) = (host, port, first);
        Folder = Directory.CreateTempSubdirectory("crmbackup-").FullName;
        _listener.Bind(new UnixDomainSocketEndPoint(Path.Combine(Folder, $".s.PGSQL.{port}")));
        _listener.Listen(PairsMax);
        StartThread(Accept, "crmbackup relay");
    }

    /// <summary>For Npgsql's <c>Host</c> keyword; the port stays the server's.</summary>
    public string Folder { get; }

    /// <summary>Connects to the server first, so that its not answering is said as what it is.</summary>
    /// <exception cref="SocketException">The server cannot be reached.</exception>
    public static async Task<SourceRelay> OpenAsync(NpgsqlConnectionStringBuilder settings, CancellationToken stop)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        if (settings.Timeout > 0)
            limit.CancelAfter(TimeSpan.FromSeconds(settings.Timeout));
        try
        {
            return new SourceRelay(settings.Host!, settings.Port, await ConnectAsync(settings.Host!, settings.Port, limit.Token));
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new SocketException((int)SocketError.TimedOut);
        }
    }

    /// <summary>Connects on a thread of its own: a socket that was ever used asynchronously stays with the runtime's epoll, which is then woken
    /// for every row that the walsender sends, whoever reads it (measured: a wake and two thread switches for 2.6 rows).</summary>
    static async Task<Socket> ConnectAsync(string host, int port, CancellationToken stop)
    {
        var socket = IsFolder(host)
            ? new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
            : new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            var connected = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            StartThread(() => Connect(socket, host, port, connected), "crmbackup relay, connecting");
            await using (stop.Register(socket.Dispose))
                await connected.Task;
            return socket;
        }
        catch
        {
            socket.Dispose();
            stop.ThrowIfCancellationRequested();
            throw;
        }
    }

    static void Connect(Socket socket, string host, int port, TaskCompletionSource connected)
    {
        try
        {
            if (IsFolder(host))
                socket.Connect(new UnixDomainSocketEndPoint(Path.Combine(host, $".s.PGSQL.{port}")));
            else
            {
                socket.Connect(host, port);
                // A server that vanished without a word is noticed within two minutes.
                socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
                socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 30);
                socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 10);
            }
            connected.SetResult();
        }
        catch (Exception failure)
        {
            // Told to the one who waits.
            connected.SetException(failure);
        }
    }

    static bool IsFolder(string host) => Path.IsPathRooted(host);

    /// <summary>Nobody else may come in, and a killed process leaves no folder behind. Npgsql is connected; to cancel it would connect
    /// once more, and where it cannot, it breaks the connection, which ends the stream sooner.</summary>
    public void CloseDoor()
    {
        lock (_lock)
        {
            if (_closed)
                return;
            _closed = true;
            _listener.Dispose();
            Directory.Delete(Folder, recursive: true);
        }
    }

    /// <summary>Npgsql comes a second time when the server refuses TLS.</summary>
    void Accept()
    {
        while (true)
        {
            Socket client;
            try
            {
                client = _listener.Accept();
            }
            catch (Exception failure) when (IsEnd(failure))
            {
                return;
            }
            Socket? server = null;
            try
            {
                server = Interlocked.Exchange(ref _first, null)
                    ?? ConnectAsync(_host, _port, CancellationToken.None).GetAwaiter().GetResult();
                Own(client, server);
                StartThread(() => Forward(server, client, coalesce: true), "crmbackup relay, from the server");
                StartThread(() => Forward(client, server, coalesce: false), "crmbackup relay, to the server");
            }
            catch (Exception failure) when (IsEnd(failure))
            {
                // Npgsql sees its connection closed, and says so.
                client.Dispose();
                server?.Dispose();
            }
        }
    }

    void Forward(Socket from, Socket to, bool coalesce)
    {
        var buffer = GC.AllocateUninitializedArray<byte>(coalesce ? 1 << 20 : 8 << 10);
        var (enough, pause) = IsFolder(_host) ? (UnixEnough, UnixPause) : (TcpEnough, TcpPause);
        try
        {
            while (from.Receive(buffer) is var length and > 0)
            {
                for (var sent = 0; sent < length;)
                    sent += to.Send(buffer.AsSpan(sent, length - sent));
                if (coalesce && length < enough)
                    _stopped.WaitOne(pause);
            }
            to.Shutdown(SocketShutdown.Send);
        }
        catch (Exception failure) when (IsEnd(failure))
        {
            Release(from, to);
        }
        if (coalesce)
            Release(from, to);
    }

    static bool IsEnd(Exception failure) => failure is SocketException or ObjectDisposedException;

    static void StartThread(Action action, string name) =>
        new Thread(() => action()) { IsBackground = true, Name = name }.Start();

    void Own(params ReadOnlySpan<Socket> sockets)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _sockets.AddRange(sockets);
        }
    }

    void Release(params ReadOnlySpan<Socket> sockets)
    {
        lock (_lock)
        {
            foreach (var socket in sockets)
            {
                _sockets.Remove(socket);
                socket.Dispose();
            }
        }
    }

    /// <summary>Breaks every connection at once: the server frees the slot as soon as it writes or reads.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
                return;
            _disposed = true;
            _stopped.Set();
            Interlocked.Exchange(ref _first, null)?.Dispose();
            foreach (var socket in _sockets)
                socket.Dispose();
            _sockets.Clear();
            CloseDoor();
        }
    }
}
