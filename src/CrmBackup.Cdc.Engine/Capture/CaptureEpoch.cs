using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>One epoch, from the archive's asking until it is superseded: opens the stream, and opens it again from the durable position
/// when the source was away. The blocks then begin at number 0 again, which the archive answers with a new epoch.</summary>
sealed class CaptureEpoch(
    StartStream request, CaptureOptions options, IChangeLog log, string staging, TimeProvider clock, ILogger logger)
{
    static readonly TimeSpan _firstPause = TimeSpan.FromMilliseconds(200);
    readonly Lock _lock = new();
    StreamSession? _session;
    Lsn _sent = request.At?.Lsn ?? Lsn.None;
    Position? _durable;

    public Guid Id => request.Epoch;

    /// <summary>Of the walsender that this epoch had last, which may still be ending.</summary>
    public int? WalSenderPid { get; private set; }

    /// <summary>Everything that any block of the epoch said, also one of a stream that broke.</summary>
    public void Sending(Lsn upTo)
    {
        lock (_lock)
            _sent = upTo > _sent ? upTo : _sent;
    }

    /// <summary>Invariant: durable &lt;= sent, and neither moves back.</summary>
    public void MarkDurable(Position at)
    {
        lock (_lock)
        {
            Invariant.Holds(at.Lsn <= _sent, $"the archive has {at} durable, capture sent no more than {_sent}");
            // Requests may come twice.
            if (_durable is { } before && at.Lsn <= before.Lsn)
                return;
            _durable = at;
            _session?.Confirm(at);
        }
    }

    public void Carry(ArchiveRequest order)
    {
        lock (_lock)
            _session?.Carry(order);
    }

    /// <summary>Returns when the change log broke: then the archive asks again. Else ends only by cancellation, or by a failure that
    /// trying again does not cure.</summary>
    public async Task RunAsync(int? walSenderBefore, CancellationToken stop)
    {
        WalSenderPid = walSenderBefore;
        var pause = _firstPause;
        while (true)
        {
            var (failure, received) = await StreamAsync(stop);
            if (failure is ChangeLogInterruptedException)
            {
                logger.ChangeLogInterrupted(failure.Message);
                return;
            }
            if (received)
                pause = _firstPause;
            logger.StreamInterrupted(pause, failure.Message);
            await Task.Delay(pause, clock, stop);
            pause = pause * 2 < options.RetryMax ? pause * 2 : options.RetryMax;
        }
    }

    /// <returns>Why the stream ended, and whether it had brought something.</returns>
    async Task<(Exception Failure, bool Received)> StreamAsync(CancellationToken stop)
    {
        var received = false;
        try
        {
            await using var session = await StreamSession.OpenAsync(this, Start(), options, log, staging, clock, logger, stop);
            WalSenderPid = session.WalSenderPid;
            lock (_lock)
                _session = session;
            try
            {
                await session.RunAsync(stop);
                throw new InvalidOperationException("broken invariant: a stream ends only by a failure");
            }
            finally
            {
                received = session.Received;
                lock (_lock)
                    _session = null;
            }
        }
        catch (SlotLostException lost)
        {
            // Rule 10: the archive records the gap and reads new bases, without a person.
            logger.SlotMadeAnew(lost.Message);
            await using var connection = await SourceConnection.OpenAsync(options.Source, stop);
            await lost.MakeAnewAsync(connection, stop);
            return (lost, received);
        }
        catch (Exception failure) when (
            (failure is ChangeLogInterruptedException || Transience.IsTransient(failure)) && !stop.IsCancellationRequested)
        {
            return (failure, received);
        }
    }

    StreamStart Start()
    {
        lock (_lock)
            return new StreamStart(request.SystemIdentifier, _durable ?? request.At, request.Incarnation, WalSenderPid);
    }
}
