using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>One epoch, from the archive's asking until it is superseded: opens the stream, and opens it again from the durable position
/// when the source was away. The blocks then begin at number 0 again, which the archive answers with a new epoch.</summary>
/// <param name="before">The one before, which may have met what this one meets again; null: the first.</param>
sealed class CaptureEpoch(
    StartStream request, CaptureOptions options, ISource source, IChangeLog log, string staging, CaptureEpoch? before, TimeProvider clock,
    ILogger logger)
{
    static readonly TimeSpan _firstPause = TimeSpan.FromMilliseconds(200);
    readonly Lock _lock = new();
    StreamSession? _session;
    Lsn _sent = request.At?.Lsn ?? Lsn.None;
    /// <summary>With the slot that it came from: the archive asked when it may have known none, or another.</summary>
    (Position? At, Anchor? Anchor, Guid? Incarnation)? _durable;
    CancellationTokenSource? _letGo;
    /// <summary>What the server could not deliver, last. A stream that broke is answered with a new epoch: it must outlive this one.</summary>
    StreamRefusedException? _refused = before?._refused;
    bool _mendingFailed;

    public Guid Id => request.Epoch;

    /// <summary>Of the source when it was opened last, by whatever epoch; null before.</summary>
    public StreamFacts? Facts { get; private set; } = before?.Facts;

    /// <summary>Of the walsender that this epoch had last, which may still be ending.</summary>
    public int? WalSenderPid { get; private set; }

    /// <summary>True while a damaged set-up is worth ending the stream for: it can be mended.</summary>
    public bool MayMend => options.MendSetup && !_mendingFailed;

    /// <summary>Everything that any block of the epoch said, also one of a stream that broke.</summary>
    public void Sending(Lsn upTo)
    {
        lock (_lock)
            _sent = upTo > _sent ? upTo : _sent;
    }

    /// <summary>Durable &lt;= sent, and neither moves back. What this run of the epoch has not sent comes from one before it, of a process that
    /// ended or of this one: that run's stream is gone, and what is durable of it is said anew with the next epoch.</summary>
    public void MarkDurable(DurableAt durable)
    {
        var at = durable.At;
        lock (_lock)
        {
            if (at.Lsn > _sent || (_session is { } now && now.Timeline != at.Timeline))
                return;
            // Requests may come twice.
            if (_durable is { } before && at.Lsn <= before.At?.Lsn)
                return;
            _durable = (at, durable.Anchor, Facts?.Incarnation);
            _session?.Confirm(at, durable.Anchor);
        }
    }

    public void Carry(ArchiveRequest order)
    {
        lock (_lock)
            _session?.Carry(order);
    }

    /// <summary>Ends the stream: the slot is about to be dropped. It is made anew when the archive asks again.</summary>
    public async Task LetGoAsync()
    {
        CancellationTokenSource? ending;
        lock (_lock)
            ending = _letGo;
        if (ending is not null)
            await ending.EndAsync();
    }

    /// <summary>Returns when the change log broke, or the slot was let go: then the archive asks again. Else ends only by cancellation, or
    /// by a failure that trying again does not cure.</summary>
    public async Task RunAsync(int? walSenderBefore, CancellationToken stop)
    {
        WalSenderPid = walSenderBefore;
        var pause = _firstPause;
        string? said = null;
        using var letGo = new CancellationTokenSource();
        lock (_lock)
            _letGo = letGo;
        try
        {
            while (true)
            {
                var (failure, received) = await StreamAsync(letGo.Token, stop);
                if (letGo.IsCancellationRequested)
                    return;
                if (failure is ChangeLogInterruptedException)
                {
                    logger.ChangeLogInterrupted(failure.Message);
                    return;
                }
                if (received)
                    (pause, said) = (_firstPause, null);
                if (failure.Message != said)
                    logger.StreamInterrupted(pause, said = failure.Message);
                await Task.Delay(pause, clock, stop);
                pause = pause * 2 < options.RetryMax ? pause * 2 : options.RetryMax;
            }
        }
        finally
        {
            lock (_lock)
                _letGo = null;
        }
    }

    /// <returns>Why the stream ended, and whether it had brought something.</returns>
    async Task<(Exception Failure, bool Received)> StreamAsync(CancellationToken letGo, CancellationToken stop)
    {
        var received = false;
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(letGo, stop);
        try
        {
            await using var session = await StreamSession.OpenAsync(this, Start(), options, source, log, staging, clock, logger, ending.Token);
            (WalSenderPid, Facts) = (session.WalSenderPid, session.Facts);
            lock (_lock)
                _session = session;
            try
            {
                await session.RunAsync(ending.Token);
                throw new InvalidOperationException("broken invariant: a stream ends only by a failure");
            }
            finally
            {
                received = session.Received;
                lock (_lock)
                    _session = null;
            }
        }
        catch (OperationCanceledException let) when (letGo.IsCancellationRequested && !stop.IsCancellationRequested)
        {
            return (let, received);
        }
        catch (Exception failure) when (!stop.IsCancellationRequested)
        {
            return (await CureAsync(failure, stop), received);
        }
    }

    /// <summary>Does what makes another try worth it. Whatever is not known to be cured, by that or by time, is thrown.</summary>
    /// <returns>The failure that another try is to follow: the source may also have gone away in the middle of the cure.</returns>
    async Task<Exception> CureAsync(Exception failure, CancellationToken stop)
    {
        try
        {
            switch (failure)
            {
                // Rule 10: the archive records the gap and makes new bases, without a person.
                case SlotLostException lost: return await MakeSlotAnewAsync(lost, stop);
                case OtherHistoryException other: return await MakeSlotAnewAsync(SlotLostException.OfOtherHistory(Facts!.Slot, other), stop);
                case StreamRefusedException { PublicationIsMissing: true } refused: return await MendAsync(new SetupDamagedException(refused.Message), stop);
                case StreamRefusedException refused: return await SkipWhenStuckAsync(refused, stop);
                case SetupDamagedException damaged: return await MendAsync(damaged, stop);
                default:
                    if (failure is ChangeLogInterruptedException or SetupRenewedException or SourceBehindException || Transience.IsTransient(failure))
                        return failure;
                    break;
            }
        }
        catch (Exception away) when (!stop.IsCancellationRequested && Transience.IsTransient(away))
        {
            return away;
        }
        System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        throw failure;
    }

    async Task<SlotLostException> MakeSlotAnewAsync(SlotLostException lost, CancellationToken stop)
    {
        logger.SlotMadeAnew(lost.Message);
        await source.MakeSlotAnewAsync(lost, WalSenderPid, stop);
        return lost;
    }

    /// <summary>Once more; when the same transaction is refused for the same reason a second time, the slot is advanced past it (rule 9).</summary>
    async Task<StreamRefusedException> SkipWhenStuckAsync(StreamRefusedException refused, CancellationToken stop)
    {
        if (_refused is not { } before || before.At != refused.At || before.SqlState != refused.SqlState)
            return _refused = refused;
        _refused = null;
        await source.SkipAsync(Facts!, WalSenderPid, $"what follows {refused.At} cannot be delivered: {refused.Message}", stop);
        logger.TransactionSkipped(refused.At, refused.Message);
        return refused;
    }

    async Task<SetupDamagedException> MendAsync(SetupDamagedException damaged, CancellationToken stop)
    {
        if (!MayMend || Facts is null)
            throw damaged;
        _mendingFailed = true;
        logger.SetupIsMended(damaged.Message);
        await source.MendAsync(Facts, request.Vault, WalSenderPid, damaged, stop);
        _mendingFailed = false;
        return damaged;
    }

    StreamStart Start()
    {
        lock (_lock)
        {
            var (at, anchor, incarnation) = _durable ?? (request.At, request.Anchor, request.Incarnation);
            return new StreamStart(request.SystemIdentifier, at, incarnation, WalSenderPid, request.CatalogSeen) { Anchor = anchor };
        }
    }
}
