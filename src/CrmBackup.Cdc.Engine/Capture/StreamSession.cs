using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>One opened stream: moves frames from the slot to the change log until either ends.</summary>
sealed class StreamSession : IAsyncDisposable
{
    readonly CaptureEpoch _epoch;
    readonly CaptureOptions _options;
    readonly TimeProvider _clock;
    readonly ReplicationStream _stream;
    readonly SourceWatch _watch;
    readonly BlockLane _lane;
    readonly FrameFeed _feed;
    readonly IdleWatch _idle;
    readonly OrderDesk _orders;
    readonly CancellationTokenSource _ending;
    readonly CancellationToken _stop;

    StreamSession(
        CaptureEpoch epoch, CaptureOptions options, IChangeLog log, string staging, TimeProvider clock, ILogger logger,
        ReplicationStream stream, SourceWatch watch, SourceMoment moment, CancellationTokenSource ending)
    {
        (_epoch, _options, _clock, _stream, _watch) = (epoch, options, clock, stream, watch);
        (_ending, _stop) = (ending, ending.Token);
        var started = stream.Opened.StartedAt.Lsn;
        var header = new BlockHeader(
            BlockKind.Stream, stream.SystemIdentifier, stream.Facts.DatabaseOid, stream.Timeline, epoch.Id, 0, 0, Sha256.Zero,
            started, started, 0, 0, false);
        _lane = new BlockLane(log, header, options.BlockBytes, clock);
        _feed = new FrameFeed(_lane, stream.Facts.Key, staging, moment.NextXid, logger);
        _idle = new IdleWatch(started);
        _orders = new OrderDesk(
            options, stream.Facts, log, header with { Kind = BlockKind.Answer, Before = Lsn.None, After = Lsn.None }, clock, logger);
    }

    public int WalSenderPid => _stream.WalSenderPid;

    /// <summary>True once the server sent anything: trying again may begin with a short pause.</summary>
    public bool Received => _feed.Taken > 0;

    public static async Task<StreamSession> OpenAsync(
        CaptureEpoch epoch, StreamStart start, CaptureOptions options, IChangeLog log, string staging, TimeProvider clock,
        ILogger logger, CancellationToken stop)
    {
        var watch = await SourceWatch.OpenAsync(options.Source, stop);
        ReplicationStream? stream = null;
        var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        try
        {
            stream = await ReplicationStream.OpenAsync(options.Source, watch.Connection, start, clock, logger, ending.Token);
            var moment = await watch.LookAsync(stream.WalSenderPid, stop);
            var session = new StreamSession(epoch, options, log, staging, clock, logger, stream, watch, moment, ending);
            logger.StreamStarted(stream.Facts.Slot, stream.Opened.StartedAt, epoch.Id);
            if (start.At is { } asked && asked != stream.Opened.StartedAt)
                logger.SlotAhead(stream.Opened.SlotAt, asked);
            return session;
        }
        catch
        {
            if (stream is not null)
                await stream.DisposeAsync();
            await watch.DisposeAsync();
            ending.Dispose();
            throw;
        }
    }

    public void Confirm(Position durable)
    {
        Invariant.Holds(durable.Timeline == _stream.Timeline, $"the archive has {durable} durable, the stream is on timeline {_stream.Timeline}");
        // In a gap the slot is already beyond what the archive had.
        if (durable.Lsn > _stream.Opened.StartedAt.Lsn)
            _stream.Confirm(durable.Lsn);
    }

    public void Carry(ArchiveRequest order) => _orders.Carry(order);

    /// <summary>Ends only by a failure or by cancellation.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        Task[] both = [PumpAsync(), _orders.RunAsync(_stop)];
        await Task.WhenAny(both);
        await _ending.CancelAsync();
        await Task.WhenAll(both).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stop.ThrowIfCancellationRequested();
        // The one that failed, not the one that was cancelled because of it.
        await (both.FirstOrDefault(task => task.IsFaulted) ?? both[0]);
    }

    async Task PumpAsync()
    {
        _lane.Add(_stream.Opened.ToEntry());
        _lane.Add((await _watch.TakeInventoryAsync(_stream.Timeline, _stop)).ToEntry());
        await PublishAsync();
        var questions = new SourceQuestions(_watch, _stream, _options, _clock);
        try
        {
            while (true)
            {
                var reading = _stream.ReadAsync();
                if (!reading.IsCompletedSuccessfully)
                    await WaitAsync(reading.AsTask(), questions);
                if (_feed.Take(_stream.Frame.Span) is { } committed)
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

    /// <summary>Until the next frame is there: does what is due.</summary>
    async Task WaitAsync(Task reading, SourceQuestions questions)
    {
        try
        {
            while (!reading.IsCompleted)
            {
                await TickAsync(questions);
                var wait = _lane.IsEmpty ? _options.BlockAge * 4 : _options.BlockAge - _lane.Age;
                if (!reading.IsCompleted && wait > TimeSpan.Zero)
                    await Task.WhenAny(reading, Task.Delay(wait, _clock, _stop));
            }
        }
        catch
        {
            // The stream may only be closed when nobody reads it.
            await _ending.CancelAsync();
            await reading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }
        await reading;
    }

    async Task TickAsync(SourceQuestions questions)
    {
        if (questions.Answered && !_feed.InTransaction)
            Note(await questions.TakeAsync());
        if (!_feed.InTransaction && _idle.Look(_lane.Completed, _feed.Taken, _stream.Reached) is { } idle)
            _lane.Add(new IdlePosition(new Position(_stream.Timeline, idle.At), idle.Time).ToEntry());
        questions.AskWhenDue(_idle.Position(_lane.Completed), _feed.Taken);
        if (!_lane.IsEmpty && _lane.Age >= _options.BlockAge)
            await PublishAsync();
    }

    void Note(SourceAnswer answer)
    {
        _feed.RecentXid = answer.Moment.NextXid;
        if (answer.Sequences is { Count: > 0 } sequences)
            _lane.Add(new SequencesSampled(new Position(_stream.Timeline, answer.ReceivedBefore), sequences).ToEntry());
        _idle.Note(answer.Moment, answer.TakenBefore);
    }

    Task PublishAsync()
    {
        _epoch.Sending(_idle.Position(_lane.Completed));
        return _lane.PublishAsync(_stop);
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        await _orders.DisposeAsync();
        await _stream.DisposeAsync();
        await _watch.DisposeAsync();
        _feed.Dispose();
        _ending.Dispose();
    }
}
