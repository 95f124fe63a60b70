using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>Brings the source's changes to the change log, as the archive asks: one epoch at a time. Keeps nothing of its own.</summary>
public sealed class CaptureLoop
{
    readonly CaptureOptions _options;
    readonly ISource _source;
    readonly IChangeLog _log;
    readonly TimeProvider _clock;
    readonly ILogger _logger;

    sealed record Running(CaptureEpoch Epoch, Task Task, CancellationTokenSource Ending);

    /// <summary>The epoch that ran last, also when it has ended: the archive may ask for the same again.</summary>
    volatile CaptureEpoch? _last;
    readonly SlotGovernor? _governor;

    public CaptureLoop(CaptureOptions options, IChangeLog log, TimeProvider clock, ILogger logger)
        : this(options, new PostgresSource(options.Source, options.LongTransaction, clock, logger), log, clock, logger) =>
        _governor = new SlotGovernor(options, EndStreamAsync, clock, logger);

    internal CaptureLoop(CaptureOptions options, ISource source, IChangeLog log, TimeProvider clock, ILogger logger) =>
        (_options, _source, _log, _clock, _logger) = (options, source, log, clock, logger);

    /// <summary>Returns when stopped. A source that is away is waited for; any other failure ends the loop, loudly.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        Running? running = null;
        using var reading = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var requests = _log.RequestsAsync(reading.Token).GetAsyncEnumerator(CancellationToken.None);
        Task<bool>? next = null;
        var governing = _governor?.RunAsync(reading.Token) ?? Task.CompletedTask;
        try
        {
            while (true)
            {
                next ??= requests.MoveNextAsync().AsTask();
                await Task.WhenAny(running is null ? [next] : [next, running.Task]);
                if (running is { Task.IsCompleted: true })
                {
                    // The change log broke: the archive asks again. Any failure is thrown here.
                    await running.Task;
                    running.Ending.Dispose();
                    running = null;
                }
                if (!next.IsCompleted)
                    continue;
                Invariant.Holds(await next, "requests end only by cancellation");
                next = null;
                running = await TakeAsync(requests.Current, running, stop);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
        finally
        {
            await EndAsync(running);
            await reading.EndAsync();
            await governing.EndedAsync();
            if (next is not null)
                await next.EndedAsync();
            await requests.DisposeAsync();
        }
    }

    async Task<Running?> TakeAsync(ArchiveRequest request, Running? running, CancellationToken stop)
    {
        switch (request)
        {
            // Asked again for what runs already: its blocks are on their way.
            case StartStream start when start.Epoch == running?.Epoch.Id:
                return running;
            case StartStream start:
                _logger.EpochBegins(start.Epoch, start.At);
                await EndAsync(running);
                return Begin(start, stop);
            case DurableAt durable when durable.Epoch == running?.Epoch.Id:
                running.Epoch.MarkDurable(durable);
                return running;
            case ReadBaseChunk chunk when chunk.Epoch == running?.Epoch.Id:
                running.Epoch.Carry(chunk);
                return running;
            case DumpSchema dump when dump.Epoch == running?.Epoch.Id:
                running.Epoch.Carry(dump);
                return running;
            // Of an epoch that is over.
            case DurableAt or ReadBaseChunk or DumpSchema:
                return running;
            default:
                throw new FormatViolationException($"the archive asks for the unknown {request.GetType().Name}");
        }
    }

    Running Begin(StartStream start, CancellationToken stop)
    {
        var walSenderBefore = _last?.WalSenderPid;
        if (_last?.Id != start.Epoch)
            _last = new CaptureEpoch(start, _options, _source, _log, _options.Staging ?? Path.GetTempPath(), _last, _clock, _logger);
        var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        return new Running(_last, _last.RunAsync(walSenderBefore, ending.Token), ending);
    }

    async Task<int?> EndStreamAsync()
    {
        if (_last is not { } epoch)
            return null;
        await epoch.LetGoAsync();
        return epoch.WalSenderPid;
    }

    static async Task EndAsync(Running? running)
    {
        if (running is null)
            return;
        await running.Ending.EndAsync();
        // Superseded or stopping: why it ends is known.
        await running.Task.EndedAsync();
        running.Ending.Dispose();
    }
}
