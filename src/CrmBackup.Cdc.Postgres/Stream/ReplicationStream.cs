using System.Buffers;
using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;
using Npgsql;
using Npgsql.Replication;
using Npgsql.Replication.Internal;
using NpgsqlTypes;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Raw pgoutput frames (protocol 2, streaming) from the slot, from exactly the archive's position on. One reader.
/// The server hears from us by a timer of its own, so that a blocked reader is not taken for a dead one.</summary>
public sealed class ReplicationStream : IAsyncDisposable
{
    /// <summary>Transactions beyond this size are streamed before they commit, and staged on our disk.</summary>
    const string DecodingOptions = " -c logical_decoding_work_mem=64MB";
    static readonly TimeSpan _statusInterval = TimeSpan.FromSeconds(1);

    readonly LogicalReplicationConnection _connection;
    readonly SourceRelay? _relay;
    readonly IAsyncEnumerator<XLogDataMessage> _messages;
    byte[] _frame = ArrayPool<byte>.Shared.Rent(64 << 10);
    int _length;

    ReplicationStream(
        LogicalReplicationConnection connection, SourceRelay? relay, StreamFacts facts, StreamOpened opened, StreamBeginning begins,
        ulong systemIdentifier, CancellationToken stop)
    {
        (_connection, _relay, Facts, Opened, BeginsAt, SystemIdentifier) = (connection, relay, facts, opened, begins, systemIdentifier);
        WalSenderPid = connection.ProcessID;
        // Never below what the slot has confirmed: a server would take it back.
        connection.SetReplicationStatus(ToNpgsql(begins.Lsn));
        connection.WalReceiverStatusInterval = facts.WalSenderTimeout > TimeSpan.Zero && facts.WalSenderTimeout / 4 < _statusInterval
            ? facts.WalSenderTimeout / 4 : _statusInterval;
        connection.WalReceiverTimeout = TimeSpan.FromMinutes(2);
        _messages = connection.StartLogicalReplication(
            new PgOutputSlot(facts.Slot), stop, ToNpgsql(begins.Lsn),
            [
                new("proto_version", "2"),
                new("publication_names", string.Join(',', facts.Publications.Select(SqlText.Identifier)).Replace("'", "''", StringComparison.Ordinal)),
                new("streaming", "on"),
                new("messages", "true"),
            ]).GetAsyncEnumerator(CancellationToken.None);
    }

    public StreamFacts Facts { get; }

    public StreamOpened Opened { get; }

    /// <summary>Where the server begins, which may lie before what was opened.</summary>
    public StreamBeginning BeginsAt { get; }

    public ulong SystemIdentifier { get; }

    public uint Timeline => Opened.StartedAt.Timeline;

    public int WalSenderPid { get; }

    /// <summary>The current frame, in memory that the next <see cref="ReadAsync"/> uses again.</summary>
    public ReadOnlyMemory<byte> Frame => _frame.AsMemory(0, _length);

    /// <summary>Start of the WAL record that the current frame tells of, where it tells of a row.</summary>
    public Lsn FrameAt { get; private set; }

    /// <summary>How far the server says it has decoded, by frames and keepalives. It may already count a frame that <see cref="ReadAsync"/>
    /// has not returned yet: only record borders strictly below it are known to hold nothing unread.</summary>
    public Lsn Reached => new((ulong)_connection.LastReceivedLsn);

    /// <param name="control">An ordinary connection to the same database; not kept.</param>
    /// <exception cref="RefusedException">Another cluster, a slot that someone else reads.</exception>
    /// <exception cref="SlotLostException">A gap.</exception>
    public static async Task<ReplicationStream> OpenAsync(
        NpgsqlConnectionStringBuilder settings, NpgsqlConnection control, StreamStart start, TimeProvider clock, ILogger logger,
        CancellationToken stop)
    {
        var facts = await StreamFacts.ReadAsync(control, stop);
        var (connection, relay) = await ConnectAsync(settings, logger, stop);
        try
        {
            var system = await connection.IdentifySystem(stop);
            var systemIdentifier = ulong.Parse(system.SystemId, System.Globalization.CultureInfo.InvariantCulture);
            SourceIdentity.RefuseOtherCluster(systemIdentifier, start.SystemIdentifier);
            var slot = await SlotState.FreeAsync(control, facts.Slot, start.OwnPid, clock, TimeSpan.FromSeconds(10), stop);
            var slotAt = new Position(system.Timeline, slot.Confirmed);
            if (start.IsPassedBy(facts.Incarnation, slotAt))
                facts = facts with { WaitFor = await StreamFacts.WaitAnewAsync(control, stop) };
            var (startedAt, begins) = start.Begin(facts.Slot, facts.Incarnation, slotAt, new Lsn((ulong)system.XLogPos));
            var opened = new StreamOpened(
                slotAt, startedAt, facts.ServerVersion, facts.Database, facts.Incarnation, facts.AllTables, facts.Fidelity)
            {
                Renewed = facts.Renewed,
                OtherHistory = facts.OtherHistory,
                ServerRun = facts.ServerRun,
                BranchedAt = start.At is { } known && known.Timeline < system.Timeline
                    ? await TimelineHistory.EndOfAsync(control, known.Timeline, system.Timeline, stop) : null,
            };
            return new ReplicationStream(connection, relay, facts, opened, begins, systemIdentifier, stop);
        }
        catch
        {
            relay?.Dispose();
            await connection.DisposeAsync();
            throw;
        }
    }

    static async Task<(LogicalReplicationConnection, SourceRelay?)> ConnectAsync(
        NpgsqlConnectionStringBuilder settings, ILogger logger, CancellationToken stop)
    {
        var canonical = SourceConnection.Canonical(settings);
        canonical.Options += DecodingOptions;
        canonical.ReadBufferSize = 256 << 10;
        if (settings.SslMode == SslMode.VerifyFull)
            logger.RelayRefused("the server's certificate is checked against its name");
        else if (settings.Host!.Contains(',', StringComparison.Ordinal))
            logger.RelayRefused("several hosts are given");
        else if (await ConnectThroughRelayAsync(canonical, logger, stop) is { } relayed)
            return relayed;
        return (await ConnectAsync(canonical, settings, stop), null);
    }

    static async Task<(LogicalReplicationConnection, SourceRelay?)?> ConnectThroughRelayAsync(
        NpgsqlConnectionStringBuilder canonical, ILogger logger, CancellationToken stop)
    {
        SourceRelay relay;
        try
        {
            relay = await SourceRelay.OpenAsync(canonical, stop);
        }
        catch (System.Net.Sockets.SocketException failure)
        {
            throw SourceConnection.InWords(failure, canonical) ?? (Exception)failure;
        }
        try
        {
            // The relay keeps the connection to the server alive; a unix socket knows no such thing.
            var relayed = new NpgsqlConnectionStringBuilder(canonical.ConnectionString) { Host = relay.Folder, TcpKeepAlive = false };
            relayed.Remove("Tcp Keepalive Time");
            relayed.Remove("Tcp Keepalive Interval");
            if (PasswordFile.Find(canonical) is { } password)
                relayed.Password = password;
            var connection = await ConnectAsync(relayed, canonical, stop);
            relay.CloseDoor();
            return (connection, relay);
        }
        catch (Exception failure) when (failure is BackupException or NpgsqlException)
        {
            // Some ways to authenticate (Kerberos) need the server's name. What is truly wrong will be said by the direct connection.
            relay.Dispose();
            logger.RelayRefused(failure.Message);
            return null;
        }
        catch
        {
            relay.Dispose();
            throw;
        }
    }

    static async Task<LogicalReplicationConnection> ConnectAsync(
        NpgsqlConnectionStringBuilder settings, NpgsqlConnectionStringBuilder spokenOf, CancellationToken stop)
    {
        var connection = new LogicalReplicationConnection(settings.ConnectionString);
        try
        {
            await connection.Open(stop);
            return connection;
        }
        catch (Exception failure)
        {
            await connection.DisposeAsync();
            if (SourceConnection.InWords(failure, spokenOf) is { } spoken)
                throw spoken;
            throw;
        }
    }

    /// <summary>Waits for the next frame. Completes at once, and allocates nothing, while frames are waiting. Ends only by an error or
    /// by the token given at opening. One call at a time.</summary>
    public async ValueTask ReadAsync()
    {
        if (!await _messages.MoveNextAsync())
            throw new NpgsqlException("the server ended the stream", new EndOfStreamException());
        var data = _messages.Current.Data;
        _length = checked((int)data.Length);
        FrameAt = new Lsn((ulong)_messages.Current.WalStart);
        if (_length > _frame.Length)
        {
            ArrayPool<byte>.Shared.Return(_frame);
            _frame = ArrayPool<byte>.Shared.Rent(_length);
        }
        for (var read = 0; read < _length;)
        {
            var more = await data.ReadAsync(_frame.AsMemory(read, _length - read), CancellationToken.None);
            read += more > 0 ? more : throw new EndOfStreamException("a frame ended early");
        }
    }

    /// <summary>Everything up to here is durable: the server hears of it with the next status reply, and may drop the WAL.</summary>
    public void Confirm(Lsn durable) => _connection.SetReplicationStatus(ToNpgsql(durable));

    static NpgsqlLogSequenceNumber ToNpgsql(Lsn lsn) => new(lsn.Value);

    public async ValueTask DisposeAsync()
    {
        // First, so that the server lets go of the slot even while it has much to send.
        _relay?.Dispose();
        await _connection.DisposeAsync();
        ArrayPool<byte>.Shared.Return(Interlocked.Exchange(ref _frame, []));
    }

    sealed class PgOutputSlot(string name) : LogicalReplicationSlot("pgoutput", new ReplicationSlotOptions(name));
}
