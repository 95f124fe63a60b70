using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Takes the blocks of the answer lane: base rows go straight into typed segments, files of a dump are gathered, and when an
/// answer is whole it becomes an input of the loop. Orders are expected and forgotten by the loop, blocks are taken by the lane's
/// reader: one lock holds the two apart.</summary>
sealed class AnswerDesk(BackupVault vault, VaultWriter writer, TimeProvider clock)
{
    readonly Lock _gate = new();
    readonly Dictionary<ulong, Answer> _expected = [];
    Guid _epoch;
    SegmentOrigin? _origin;

    /// <summary>One order's answer so far.</summary>
    sealed class Answer
    {
        public ulong NextBlock { get; set; }
        public BaseRows? Rows { get; init; }
        /// <summary>What the source compares.</summary>
        public ComparedPart? Part { get; init; }
        /// <summary>The rows do not fit the shape that was expected. Whether the table has another one by now, the answer's end says.</summary>
        public FormatViolationException? Misfit { get; set; }
        public Dictionary<string, MemoryStream>? Files { get; init; }
    }

    /// <summary>Forgets all orders: what still comes of them is dropped.</summary>
    /// <param name="origin">What segments of the epoch say of themselves; null until the stream is open.</param>
    public void Reset(Guid epoch, SegmentOrigin? origin)
    {
        lock (_gate)
        {
            (_epoch, _origin) = (epoch, origin);
            foreach (var answer in _expected.Values)
                answer.Rows?.Dispose();
            _expected.Clear();
        }
    }

    /// <param name="chunk">What is known before it is read.</param>
    /// <param name="part">What is compared; null: all is read.</param>
    public void Expect(ulong order, RelationShape shape, BaseChunk chunk, ComparedPart? part = null)
    {
        var path = writer.NextTablePath(shape, SegmentKind.Base, DateOnly.FromDateTime(clock.GetUtcNow().UtcDateTime));
        lock (_gate)
            _expected[order] = new Answer { Rows = new BaseRows(vault.Medium, path, shape, _origin!, chunk), Part = part };
    }

    public void ExpectFiles(ulong order)
    {
        lock (_gate)
            _expected[order] = new Answer { Files = [] };
    }

    /// <returns>The input for the loop when the block was the answer's last, else null.</returns>
    public async Task<ArchiveInput?> TakeAsync(Block block, CancellationToken stop)
    {
        var header = block.Header;
        ControlEntry? end = null;
        Answer? answer;
        lock (_gate)
        {
            if (header.Epoch != _epoch || !_expected.TryGetValue(header.Order, out answer) || header.Number < answer.NextBlock)
                return null;
            if (header.Number > answer.NextBlock)
                return Missing(header.Order, answer, "a block of the answer is missing");
            answer.NextBlock++;
            foreach (var entry in block)
                switch (entry.Span[0])
                {
                    case EntryType.CopyRows when answer.Rows is { } rows: AddRows(answer, rows, entry.Span[1..]); break;
                    case EntryType.FilePart when answer.Files is { } files: AddPart(files, entry.Span[1..]); break;
                    case EntryType.Control when end is null: end = ControlEntry.Parse(entry.Span); break;
                    default: throw new FormatViolationException($"an answer holds the unexpected entry 0x{entry.Span[0]:x2}");
                }
            if (!header.Last)
                return null;
            _expected.Remove(header.Order);
        }
        return await EndAsync(header.Order, answer, end, stop);
    }

    static async Task<ArchiveInput> EndAsync(ulong order, Answer answer, ControlEntry? end, CancellationToken stop)
    {
        switch (end)
        {
            case OrderFailed failed:
                answer.Rows?.Dispose();
                return new ArchiveInput.Failed(order, failed);
            case BaseChunkRead read when answer is { Rows: { } rows, Misfit: { } misfit }:
                rows.Dispose();
                return rows.Fits(read.Table) ? throw misfit : new ArchiveInput.Failed(order, new OrderFailed(
                    $"{read.Table.Schema}.{read.Table.Name} was changed before its rows were read", OrderFailure.Rewritten));
            case BaseChunkRead read when answer.Rows is { } rows:
                if (rows.Rows != read.Rows)
                    throw new FormatViolationException($"a base chunk has {rows.Rows} rows, capture counted {read.Rows}");
                if ((read.Ranges is null) != (answer.Part is null) || read.Ranges?.Copied.Any(place => place < 0 || place >= answer.Part!.Ranges.Count) == true)
                    throw new FormatViolationException("a base chunk was compared otherwise than it was asked for");
                if (answer.Part is { } part && !rows.AddEqual(part, read.Ranges!))
                {
                    rows.Dispose();
                    return new ArchiveInput.Failed(order, new OrderFailed("the repair was given up"));
                }
                var (chunk, segment) = await rows.FinishAsync(read, stop);
                return new ArchiveInput.ChunkRead(order, chunk, segment, read.Table, read.Barrier);
            case SchemaDumped dumped when answer.Files is { } files:
                return new ArchiveInput.SchemaRead(order, files.ToDictionary(file => file.Key, file => file.Value.ToArray()), dumped);
            default:
                throw new FormatViolationException($"an answer ends with {end?.GetType().Name ?? "nothing"}");
        }
    }

    ArchiveInput.Failed Missing(ulong order, Answer answer, string reason)
    {
        _expected.Remove(order);
        answer.Rows?.Dispose();
        return new ArchiveInput.Failed(order, new OrderFailed(reason));
    }

    static void AddRows(Answer answer, BaseRows rows, ReadOnlySpan<byte> lines)
    {
        if (answer.Misfit is not null)
            return;
        try
        {
            rows.Add(lines);
        }
        catch (FormatViolationException misfit)
        {
            answer.Misfit = misfit;
        }
    }

    static void AddPart(Dictionary<string, MemoryStream> files, ReadOnlySpan<byte> part)
    {
        var nameLength = part[0];
        var name = Encoding.UTF8.GetString(part.Slice(1, nameLength));
        if (!files.TryGetValue(name, out var file))
            files[name] = file = new MemoryStream();
        file.Write(part[(1 + nameLength)..]);
    }
}
