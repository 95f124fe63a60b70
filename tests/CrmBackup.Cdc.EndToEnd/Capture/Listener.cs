using System.Threading.Channels;
using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>One transaction as it came through the change log.</summary>
public sealed record ReceivedTransaction(BeginEntry Begin, Lsn End, IReadOnlyList<byte[]> Entries)
{
    public IEnumerable<byte[]> RowsOf(uint table) =>
        Entries.Where(entry => entry[0] is (byte)'I' or (byte)'U' or (byte)'D' && RowFrame.Parse(entry).Oid == table);
}

/// <summary>Stands where the archive stands: asks for the stream, checks that blocks follow each other, keeps what came. Says that
/// something is durable only when told to.</summary>
public sealed class Listener : IAsyncDisposable
{
    readonly InProcessChangeLog _log;
    readonly CancellationTokenSource _ending = new();
    readonly Lock _lock = new();
    readonly List<ReceivedTransaction> _transactions = [];
    readonly List<ControlEntry> _controls = [];
    readonly Dictionary<ulong, (List<byte[]> Entries, ControlEntry? End)> _answers = [];
    readonly Task[] _tasks;
    ulong _order;

    public Listener(CaptureOptions options, int capacity = 16, ILogger? logger = null)
    {
        _log = new InProcessChangeLog(capacity);
        var capture = new CaptureLoop(options, _log, TimeProvider.System, logger ?? NullLogger.Instance);
        Capture = capture.RunAsync(_ending.Token);
        _tasks = [Capture, ReadStreamAsync(), ReadAnswersAsync()];
    }

    public Task Capture { get; }

    public Guid Epoch { get; private set; }

    /// <summary>While set, blocks are not taken: the change log fills and capture must wait.</summary>
    public TaskCompletionSource? Blocked { get; set; }

    public bool ConfirmAll { get; set; }

    public int Blocks { get; private set; }

    public async Task StartAsync(Position? at = null, ulong systemIdentifier = 0, bool waitForIt = true)
    {
        Epoch = Guid.NewGuid();
        await _log.RequestAsync(new StartStream(Epoch, Guid.Empty, systemIdentifier, at, null), _ending.Token);
        if (waitForIt)
            await WaitAsync(() => Controls<Inventory>().Count > 0, "the stream to open");
    }

    public Task DurableAsync(Position at) => _log.RequestAsync(new DurableAt(Epoch, at), _ending.Token);

    public IReadOnlyList<ReceivedTransaction> Transactions
    {
        get
        {
            lock (_lock)
                return [.. _transactions];
        }
    }

    public IReadOnlyList<T> Controls<T>() where T : ControlEntry
    {
        lock (_lock)
            return [.. _controls.OfType<T>()];
    }

    /// <summary>Orders a chunk; returns its lines and how the answer ended. While a transaction of another database that ran when the slot was
    /// made (an autovacuum's, mostly) has not ended, it is ordered again, as the archive does.</summary>
    /// <param name="awaited">The transaction that the chunk is expected to wait for.</param>
    public async Task<(string Lines, ControlEntry End)> ReadAsync(ReadBaseChunk order, string? awaited = null)
    {
        (string Lines, ControlEntry End) answer = default;
        await Eventually.TrueAsync(async () =>
        {
            answer = await ReadOnceAsync(order);
            return answer.End is not OrderFailed failed || !failed.Reason.StartsWith("waits for transaction ", StringComparison.Ordinal)
                || failed.Reason.StartsWith($"waits for transaction {awaited},", StringComparison.Ordinal);
        }, TimeSpan.FromSeconds(60), "other databases' transactions to end");
        return answer;
    }

    async Task<(string Lines, ControlEntry End)> ReadOnceAsync(ReadBaseChunk order)
    {
        var number = Interlocked.Increment(ref _order);
        await _log.RequestAsync(order with { Epoch = Epoch, Order = number }, _ending.Token);
        await WaitAsync(() => _answers.TryGetValue(number, out var answer) && answer.End is not null, "an answer");
        lock (_lock)
            return (string.Concat(_answers[number].Entries.Select(entry => System.Text.Encoding.UTF8.GetString(entry, 1, entry.Length - 1))),
                _answers[number].End!);
    }

    /// <summary>Until everything committed on the source before this call has come.</summary>
    public async Task CaughtUpAsync(SourceDatabase source)
    {
        var barrier = Lsn.Parse(await source.AskAsync<string>("SELECT crmbackup.barrier('test')::text"));
        await WaitAsync(() => _transactions.Count > 0 && _transactions[^1].End > barrier, "the stream to catch up");
    }

    public async Task WaitAsync(Func<bool> condition, string what, int seconds = 30)
    {
        var done = Eventually.TrueAsync(() =>
        {
            lock (_lock)
                return condition();
        }, TimeSpan.FromSeconds(seconds), what);
        await await Task.WhenAny([done, .. _tasks.Select(FailAsync)]);
        await done;
    }

    static async Task FailAsync(Task task)
    {
        await task;
        throw new InvalidOperationException("capture or its reader ended");
    }

    async Task ReadStreamAsync()
    {
        ulong next = 0;
        var previous = Sha256.Zero;
        var after = Lsn.None;
        BeginEntry? begin = null;
        List<byte[]> entries = [];
        await foreach (var delivery in _log.ReadAsync(BlockKind.Stream, _ending.Token))
        {
            if (Blocked is { } blocked)
                await blocked.Task.WaitAsync(_ending.Token);
            var header = delivery.Block.Header;
            if (header.Epoch == Epoch)
            {
                if (header.Number == 0)
                    (next, previous, after, begin, entries) = (0, Sha256.Zero, header.Before, null, []);
                Invariant.Holds(header.Number == next++ && header.Previous == previous, "blocks follow each other");
                previous = delivery.Block.Hash;
                lock (_lock)
                    foreach (var entry in delivery.Block)
                        Take(entry, ref begin, ref entries);
                Blocks++;
                Invariant.Holds(header.Before == after && header.After >= after, "the header names the ends");
                after = header.After;
                if (ConfirmAll)
                    await DurableAsync(new Position(header.Timeline, Latest(header.After)));
            }
            await delivery.DoneAsync();
            await delivery.DisposeAsync();
        }
    }

    Lsn Latest(Lsn after)
    {
        lock (_lock)
            return _controls.OfType<IdlePosition>().LastOrDefault()?.At.Lsn is { } idle && idle > after ? idle : after;
    }

    void Take(ReadOnlyMemory<byte> entry, ref BeginEntry? begin, ref List<byte[]> entries)
    {
        switch (entry.Span[0])
        {
            case EntryType.Control:
                Invariant.Holds(begin is null, "control entries stand between transactions");
                _controls.Add(ControlEntry.Parse(entry.Span));
                break;
            case EntryType.Begin:
                Invariant.Holds(begin is null, "transactions do not nest");
                (begin, entries) = (BeginEntry.Parse(entry.Span), []);
                break;
            case (byte)'C':
                var commit = CommitFrame.Parse(entry.Span);
                Invariant.Holds(begin!.Value.End.IsNone || begin.Value.End == commit.End, "a staged transaction's end is known");
                _transactions.Add(new ReceivedTransaction(begin.Value, commit.End, entries));
                begin = null;
                break;
            default:
                Invariant.Holds(begin is not null, "rows stand in transactions");
                entries.Add(entry.ToArray());
                break;
        }
    }

    async Task ReadAnswersAsync()
    {
        await foreach (var delivery in _log.ReadAsync(BlockKind.Answer, _ending.Token))
        {
            if (Blocked is { } blocked)
                await blocked.Task.WaitAsync(_ending.Token);
            lock (_lock)
            {
                var order = delivery.Block.Header.Order;
                var answer = _answers.GetValueOrDefault(order, ([], null));
                foreach (var entry in delivery.Block)
                    if (entry.Span[0] == EntryType.Control)
                        answer.End = ControlEntry.Parse(entry.Span);
                    else
                        answer.Entries.Add(entry.ToArray());
                Invariant.Holds(delivery.Block.Header.Last == answer.End is not null, "the last block holds the end");
                _answers[order] = answer;
            }
            await delivery.DoneAsync();
            await delivery.DisposeAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        foreach (var task in _tasks)
            await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _log.DisposeAsync();
    }
}
