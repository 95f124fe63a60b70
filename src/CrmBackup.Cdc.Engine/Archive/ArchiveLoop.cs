using System.Threading.Channels;
using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>Reads the change log and appends to the vault: the only one who commits. Holds all control flow of archiving; parsing, planning
/// and writing are elsewhere. Order of effects: segment durable, commit durable, then the slot is told.</summary>
public sealed partial class ArchiveLoop
{
    readonly BackupVault _vault;
    readonly VaultWriter _writer;
    readonly IChangeLog _log;
    readonly ArchiveOptions _options;
    readonly TimeProvider _clock;
    readonly ILogger _logger;
    readonly Channel<ArchiveInput> _inputs = Channel.CreateBounded<ArchiveInput>(
        new BoundedChannelOptions(8) { FullMode = BoundedChannelFullMode.Wait, SingleReader = true });
    readonly LogSegmentBuilder _events = new();
    readonly PendingCommit _pending = new();
    readonly AnswerDesk _answers;
    /// <summary>Of whatever works beside the loop.</summary>
    CancellationToken _ending;

    public ArchiveLoop(
        BackupVault vault, VaultWriter writer, IChangeLog log, ArchiveOptions options, TimeProvider clock, ILogger<ArchiveLoop> logger)
    {
        (_vault, _writer, _log, _options, _clock, _logger) = (vault, writer, log, options, clock, logger);
        _answers = new AnswerDesk(vault, writer, clock);
    }

    /// <summary>What is on the medium; null while the vault is empty.</summary>
    public Position? Durable => _vault.State.CoveredTo?.Position;

    /// <summary>True when every protected table has a base and the schema is stored: a restore to now is possible.</summary>
    public bool IsProtecting { get; private set; }

    /// <summary>Takes the result of a settle job: looks at each file on the medium, and returns when the archive has committed them.</summary>
    /// <exception cref="DifferenceException">A file is not what the job says.</exception>
    public async Task CommitSettledAsync(CommitContent content, CancellationToken stop)
    {
        foreach (var segment in content.Add)
            SegmentFile.OpenVerified(_vault.Medium.OpenRead(segment.Path), segment).Dispose();
        var committed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await _inputs.Writer.WriteAsync(new ArchiveInput.Settled(content, committed), stop);
        await using var stopping = stop.Register(() => committed.TrySetCanceled(stop));
        await committed.Task;
    }

    /// <summary>Runs until stopped; then flushes what is complete and returns.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        using var readers = CancellationTokenSource.CreateLinkedTokenSource(stop);
        _ending = readers.Token;
        var feeding = FeedAsync(readers.Token);
        try
        {
            await AskForStreamAsync(stop);
            while (true)
            {
                await StepAsync(stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            await FlushAsync(CancellationToken.None);
            _logger.ArchiveStopped(Durable);
        }
        catch (ChannelClosedException)
        {
            // A reader of the log failed: its error is the one to tell.
            await feeding;
            throw;
        }
        finally
        {
            await readers.EndAsync();
            _answers.Reset(Guid.Empty, null);
            await SwallowCancellationAsync(feeding);
            await SwallowCancellationAsync(_folding);
        }
    }

    async Task StepAsync(CancellationToken stop)
    {
        if (!_inputs.Reader.TryRead(out var input))
        {
            await DueAsync(stop);
            using var wake = CancellationTokenSource.CreateLinkedTokenSource(stop);
            var waiting = InputAsync(wake.Token);
            await Task.WhenAny(waiting, _clock.PauseAsync(UntilDue(), wake.Token));
            if (waiting.IsCompletedSuccessfully && !await waiting)
                throw new ChannelClosedException();
            await wake.EndAsync();
            stop.ThrowIfCancellationRequested();
            return;
        }
        await HandleAsync(input, stop);
        await DueAsync(stop);
    }

    async Task<bool> InputAsync(CancellationToken stop) => await _inputs.Reader.WaitToReadAsync(stop);

    async Task HandleAsync(ArchiveInput input, CancellationToken stop)
    {
        switch (input)
        {
            case ArchiveInput.Stream stream:
                await using (stream.Delivery)
                {
                    await ReadAsync(stream.Delivery.Block, stop);
                    await stream.Delivery.DoneAsync();
                }
                break;
            case ArchiveInput.ChunkRead chunk: await ChunkAsync(chunk, stop); break;
            case ArchiveInput.SchemaRead schema: _schema?.Answered(schema.Order, schema.Files, schema.Answer); break;
            case ArchiveInput.PastFolded folded: Folded(folded); break;
            case ArchiveInput.Failed failed: OrderFailed(failed); break;
            case ArchiveInput.Settled settled: await SettledAsync(settled, stop); break;
            default: throw new InvalidOperationException($"unknown input {input.GetType().Name}");
        }
    }

    /// <summary>Whatever is due by the clock: flush, idle commit, asking again, orders.</summary>
    async Task DueAsync(CancellationToken stop)
    {
        var now = _clock.GetUtcNow();
        if (_events.Bytes >= _options.FlushBytes && _reader is { InTransaction: true, EndKnown: true })
            await WriteOpenRowsAsync(stop);
        if (_events.Bytes >= _options.FlushBytes || (HasPending && now - _lastFlush >= _options.Flush))
            await FlushAsync(stop);
        if (_reader is { HoldsCommit: false } && Durable?.Lsn != _reader.Position.Lsn && now - _lastCommit >= _options.Idle)
            await CommitAsync(stop);
        if (now - _lastSign >= _options.Ask)
            await AskAgainAsync(stop);
        await OrdersAsync(now, stop);
        await SchemaAsync(stop);
    }

    TimeSpan UntilDue() => HasPending ? Min(_options.Flush, TimeSpan.FromMilliseconds(50)) : TimeSpan.FromMilliseconds(100);

    static TimeSpan Min(TimeSpan left, TimeSpan right) => left < right ? left : right;

    bool HasPending => _events.CompleteRows > 0 || !_pending.IsEmpty;

    async Task FeedAsync(CancellationToken stop)
    {
        try
        {
            await await Task.WhenAny(FeedStreamAsync(stop), FeedAnswersAsync(stop));
            _inputs.Writer.TryComplete();
        }
        catch (Exception failure)
        {
            _inputs.Writer.TryComplete();
            if (failure is not OperationCanceledException)
                throw;
        }
    }

    async Task FeedStreamAsync(CancellationToken stop)
    {
        await foreach (var delivery in _log.ReadAsync(BlockKind.Stream, stop))
            await _inputs.Writer.WriteAsync(new ArchiveInput.Stream(delivery), stop);
    }

    async Task FeedAnswersAsync(CancellationToken stop)
    {
        await foreach (var delivery in _log.ReadAsync(BlockKind.Answer, stop))
        {
            await using (delivery)
            {
                if (await _answers.TakeAsync(delivery.Block, stop) is { } input)
                    await _inputs.Writer.WriteAsync(input, stop);
                await delivery.DoneAsync();
            }
        }
    }

    static async Task SwallowCancellationAsync(Task task)
    {
        try
        {
            await task;
        }
        catch (OperationCanceledException)
        {
            // The readers were told to stop.
        }
    }
}
