using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>One opened stream: moves frames from the slot to the change log until either ends.</summary>
sealed class StreamSession : IAsyncDisposable
{
    /// <summary>One WAL segment.</summary>
    const ulong AnchorBytes = 16 << 20;
    readonly CaptureEpoch _epoch;
    readonly CaptureOptions _options;
    readonly TimeProvider _clock;
    readonly ISourceSession _source;
    readonly BlockLane _lane;
    readonly FrameFeed _feed;
    readonly IdleWatch _idle;
    readonly OrderDesk _orders;
    readonly CancellationTokenSource _ending;
    readonly CancellationToken _stop;
    string? _damage;

    StreamSession(
        CaptureEpoch epoch, CaptureOptions options, IChangeLog log, string staging, TimeProvider clock, ILogger logger,
        ISourceSession source, SourceMoment moment, CancellationTokenSource ending)
    {
        (_epoch, _options, _clock, _source) = (epoch, options, clock, source);
        (_ending, _stop) = (ending, ending.Token);
        var started = source.Opened.StartedAt;
        var header = new BlockHeader(
            BlockKind.Stream, source.SystemIdentifier, source.Facts.DatabaseOid, started.Timeline, epoch.Id, 0, 0, Sha256.Zero,
            started.Lsn, started.Lsn, 0, 0, false);
        _lane = new BlockLane(log, header, options.BlockBytes, clock);
        _feed = new FrameFeed(_lane, source.Facts.Key, staging, moment.NextXid, started.Lsn, logger);
        _idle = new IdleWatch(started.Lsn);
        _orders = new OrderDesk(
            options, source, log, header with { Kind = BlockKind.Answer, Before = Lsn.None, After = Lsn.None }, clock, logger);
    }

    public int WalSenderPid => _source.WalSenderPid;

    public StreamFacts Facts => _source.Facts;

    public uint Timeline => _source.Opened.StartedAt.Timeline;

    /// <summary>True once the server sent anything: trying again may begin with a short pause.</summary>
    public bool Received => _feed.Taken > 0;

    public static async Task<StreamSession> OpenAsync(
        CaptureEpoch epoch, StreamStart start, CaptureOptions options, ISource source, IChangeLog log, string staging,
        TimeProvider clock, ILogger logger, CancellationToken stop)
    {
        ISourceSession? opened = null;
        var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        try
        {
            opened = await source.OpenAsync(start, ending.Token);
            var moment = await opened.LookAsync(stop);
            var session = new StreamSession(epoch, options, log, staging, clock, logger, opened, moment, ending);
            logger.StreamStarted(opened.Facts.Slot, opened.Opened.StartedAt, epoch.Id);
            if (start.At is { } asked && asked != opened.Opened.StartedAt)
                logger.SlotAhead(opened.Opened.SlotAt, asked);
            return session;
        }
        catch
        {
            if (opened is not null)
                await opened.DisposeAsync();
            ending.Dispose();
            throw;
        }
    }

    /// <summary>The slot stays where the server sends the anchor again.</summary>
    public void Confirm(Position durable, Anchor? anchor)
    {
        Invariant.Holds(durable.Timeline == Timeline, $"the archive has {durable} durable, the stream is on timeline {Timeline}");
        // In a gap the slot is already beyond what the archive had.
        if (durable.Lsn > _source.Opened.StartedAt.Lsn && (anchor?.CommitRecord ?? durable.Lsn) is var upTo && upTo > _source.BeginsAt.Lsn)
            _source.Confirm(upTo);
    }

    public void Carry(ArchiveRequest order) => _orders.Carry(order);

    /// <summary>Ends only by a failure or by cancellation.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        Task[] both = [PumpAsync(), _orders.RunAsync(_stop)];
        await Task.WhenAny(both);
        await _ending.EndAsync();
        await Task.WhenAll(both).EndedAsync();
        stop.ThrowIfCancellationRequested();
        // The one that failed, not the one that was cancelled because of it.
        await (both.FirstOrDefault(task => task.IsFaulted) ?? both[0]);
    }

    async Task PumpAsync()
    {
        // Its barrier is a transaction: the stream does not end with what the vault holds.
        var inventory = await _source.TakeInventoryAsync(_stop);
        var waits = await ProveAsync();
        _lane.Add(_source.Opened.ToEntry());
        _lane.Add(inventory.ToEntry());
        await PublishAsync();
        var questions = new SourceQuestions(_source, _options, _clock);
        try
        {
            while (true)
            {
                if (!waits)
                {
                    var reading = _source.ReadAsync();
                    if (!reading.IsCompletedSuccessfully)
                        await WaitAsync(reading.AsTask(), questions);
                }
                waits = false;
                if (_feed.Take(_source.Frame.Span, _source.FrameAt) is { } committed)
                    await _feed.WriteAsync(committed, PublishAsync);
                if (_lane.IsFull)
                    await PublishAsync();
                // While frames come without a pause, the clock is asked now and then.
                if ((_feed.Taken & 0xFF) == 0 || (questions.Answered && !_feed.InTransaction))
                    await TickAsync(questions);
            }
        }
        finally
        {
            await questions.DisposeAsync();
        }
    }

    /// <summary>Reads what proves that the source has the vault's history.</summary>
    /// <returns>True when the frame that comes after it is there, and was not taken yet.</returns>
    async Task<bool> ProveAsync()
    {
        if (_source.BeginsAt.Proves is not { } anchor)
            return false;
        var proof = new ContinuityProof(anchor, _source.Opened.StartedAt.Lsn, _feed);
        do
        {
            await ReadingAsync(_source.ReadAsync().AsTask());
        }
        while (proof.Takes(_source.Frame.Span, _source.FrameAt));
        _feed.ToldBefore = proof.Told;
        return true;
    }

    async Task ReadingAsync(Task reading)
    {
        try
        {
            await reading;
        }
        catch (PostgresException failure) when (!_stop.IsCancellationRequested && !Transience.IsTransient(failure))
        {
            throw new StreamRefusedException(_idle.Position(_lane.Completed), failure);
        }
    }

    /// <summary>Until the next frame is there: does what is due.</summary>
    async Task WaitAsync(Task reading, SourceQuestions questions)
    {
        try
        {
            while (!reading.IsCompleted)
            {
                // Else this turns round and round until the reading, too, has noticed.
                _stop.ThrowIfCancellationRequested();
                await TickAsync(questions);
                var wait = _lane.IsEmpty ? _options.BlockAge * 4 : _options.BlockAge - _lane.Age;
                if (!reading.IsCompleted && wait > TimeSpan.Zero)
                    await Task.WhenAny(reading, _clock.PauseAsync(wait, _stop));
            }
        }
        catch
        {
            // The stream may only be closed when nobody reads it.
            await _ending.EndAsync();
            await reading.EndedAsync();
            throw;
        }
        await ReadingAsync(reading);
    }

    async Task TickAsync(SourceQuestions questions)
    {
        if (questions.Answered && !_feed.InTransaction)
        {
            Note(await questions.TakeAsync());
            if (_damage is { } damage)
            {
                // What was seen is told first.
                await PublishAsync();
                throw new SetupDamagedException(damage);
            }
        }
        if (!_feed.InTransaction && _idle.Look(_lane.Completed, _feed.Taken, _source.Reached) is { } idle)
            _lane.Add(new IdlePosition(new Position(Timeline, idle.At), idle.Time).ToEntry());
        if (!_feed.InTransaction)
            questions.AskWhenDue(_idle.Position(_lane.Completed), _feed.Taken, _feed.Moments, AnchorIsFar);
        if (!_lane.IsEmpty && _lane.Age >= _options.BlockAge)
            await PublishAsync();
    }

    void Note(SourceAnswer answer)
    {
        _feed.RecentXid = answer.Moment.NextXid;
        if (answer.Sequences is { } sequences)
            _lane.Add(new SequencesSampled(new Position(Timeline, answer.ReceivedBefore), sequences).ToEntry());
        if (answer.Catalog is { } seen)
        {
            _lane.Add(seen.ToEntry());
            if (seen.Problems.Count > 0 && answer.CanMend && _epoch.MayMend)
                _damage = string.Join("; ", seen.Problems);
        }
        _idle.Note(answer.Moment, answer.TakenBefore);
    }

    /// <summary>To go back to the last transaction costs the server more than a new one does.</summary>
    bool AnchorIsFar => _feed.LastWasStaged || _idle.Position(_lane.Completed).Value - _lane.Completed.Value > AnchorBytes;

    Task PublishAsync()
    {
        _epoch.Sending(_idle.Position(_lane.Completed));
        return _lane.PublishAsync(_stop);
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.EndAsync();
        await _source.DisposeAsync();
        _feed.Dispose();
        _ending.Dispose();
    }
}
