using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

public sealed record FoldOptions
{
    /// <summary>128 MiB: two tables fold side by side on the smallest server we support.</summary>
    public long MemoryBytes { get; init; } = 128L << 20;

    /// <summary>Where partitions go when a table does not fit.</summary>
    public string SpillFolder { get; init; } = Path.Combine(Path.GetTempPath(), "crmbackup");
}

/// <summary>One chunk of the base: rows of one snapshot.</summary>
/// <param name="Rows">Opens the rows anew at each call; tuples are borrowed.</param>
public sealed record FoldChunk(int Shape, Snapshot Snapshot, Func<IEnumerable<ReadOnlyMemory<byte>>> Rows);

/// <summary>Everything one relation's state is made of.</summary>
public sealed record FoldInput
{
    /// <summary>The shape that the rows get.</summary>
    public required RelationShape Target { get; init; }

    /// <summary>Every version up to the target's, in order.</summary>
    public required IReadOnlyList<RelationShape> Shapes { get; init; }

    /// <summary>By age of their snapshots, the repair chunk last; empty for a relation born in the stream.</summary>
    public required IReadOnlyList<FoldChunk> Chunks { get; init; }

    /// <summary>Opens the relation's events anew at each call, in the order of (commit LSN, ordinal).</summary>
    public required Func<IEnumerable<ChangeEvent>> Events { get; init; }

    /// <summary>Whether a transaction, by commit end and xid, belongs to the state: by position, or by a snapshot.</summary>
    public required Func<Lsn, ulong, bool> Includes { get; init; }

    /// <summary>Chooses among the finished rows; all when null.</summary>
    public Func<ReadOnlyMemory<byte>, bool>? Keep { get; init; }

    /// <summary>About what rows and events weigh uncompressed: the number of partitions follows from it. 0 = unknown.</summary>
    public long BytesExpected { get; init; }
}

/// <param name="Hash">Of all rows given out.</param>
/// <param name="Spilled">The table did not fit in memory.</param>
public sealed record FoldResult(TableHash Hash, long BaseRows, long Events, bool Spilled)
{
    public long Rows => Hash.Rows;
}

/// <summary>Base and events, merged by replica identity: the rows of one table at the target. Memory is bounded by the options, but for
/// a table whose identity changed between base and target: that one is folded in memory.</summary>
public sealed class RelationFold
{
    readonly FoldInput _input;
    readonly FoldOptions _options;
    readonly WorkingLayout _layout;
    readonly List<Snapshot> _snapshots;
    readonly Snapshot? _newest;
    long _baseRows;
    long _events;

    RelationFold(FoldInput input, FoldOptions options)
    {
        (_input, _options) = (input, options);
        _snapshots = [.. input.Chunks.Select(chunk => chunk.Snapshot)];
        _newest = _snapshots.Aggregate((Snapshot?)null, (newest, next) =>
            newest is null || Snapshot.CompareAge(next, newest) > 0 ? next : newest);
        _layout = new WorkingLayout(input.Target, input.Shapes,
            input.Chunks.Select(chunk => chunk.Shape).DefaultIfEmpty(input.Shapes[0].Version).Min());
        if (_snapshots.Count > 1 && input.Chunks.Any(chunk => !_layout.Shape(chunk.Shape).HasKey))
            throw new FormatViolationException($"the base of {input.Target.FullName}, which has no key, was read under {_snapshots.Count} snapshots");
    }

    /// <param name="write">Gets the rows, in no order, each once. A row is complete: a value that is nowhere is a violation, never NULL.</param>
    public static Task<FoldResult> RunAsync(
        FoldInput input, FoldOptions options, Func<RowBatch, CancellationToken, ValueTask> write, CancellationToken stop) =>
        new RelationFold(input, options).RunAsync(write, stop);

    async Task<FoldResult> RunAsync(Func<RowBatch, CancellationToken, ValueTask> write, CancellationToken stop)
    {
        using var output = new FoldOutput(_input, write);
        var memory = new MemoryFold(_layout, _snapshots);
        var limit = _layout.Eras.Count > 1 ? long.MaxValue : _options.MemoryBytes;
        if (_input.BytesExpected <= limit && Feed(memory, rows: true, () => memory.Bytes > limit, stop))
        {
            await output.WriteAsync(memory.Finish(), stop);
            return new FoldResult(output.Hash, _baseRows, _events, Spilled: false);
        }
        var chains = new KeyChains();
        Feed(new ChainFinder(chains), rows: false, () => false, stop);
        var count = (int)Math.Clamp(_input.BytesExpected * 3 / Math.Max(_options.MemoryBytes, 1), 16, 128);
        using var partitions = new SpillPartitions(_options.SpillFolder, count, chains, level: 0);
        Feed(partitions, rows: true, () => false, stop);
        await PartitionsAsync(partitions, chains, level: 0, output, stop);
        return new FoldResult(output.Hash, _baseRows, _events, Spilled: true);
    }

    async Task PartitionsAsync(SpillPartitions partitions, KeyChains chains, int level, FoldOutput output, CancellationToken stop)
    {
        for (var i = 0; i < partitions.Count; i++)
        {
            stop.ThrowIfCancellationRequested();
            // Rows weigh more in memory than on disk. One key's endless history cannot be cut: then the last level folds it as it is.
            if (partitions.Length(i) > _options.MemoryBytes && level < 2)
            {
                using var finer = new SpillPartitions(_options.SpillFolder, 16, chains, level + 1);
                partitions.Replay(i, finer);
                await PartitionsAsync(finer, chains, level + 1, output, stop);
                continue;
            }
            var memory = new MemoryFold(_layout, _snapshots);
            memory.Begin(_layout.First);
            partitions.Replay(i, memory);
            await output.WriteAsync(memory.Finish(), stop);
        }
    }

    /// <returns>False when it was given up because the target is full.</returns>
    bool Feed(IRowOps ops, bool rows, Func<bool> full, CancellationToken stop)
    {
        (_baseRows, _events) = (rows ? 0 : _baseRows, 0);
        var translator = new EventTranslator(_layout, _newest, ops);
        for (var chunk = 0; rows && chunk < _input.Chunks.Count; chunk++)
            foreach (var tuple in _input.Chunks[chunk].Rows())
            {
                translator.Base(_input.Chunks[chunk].Shape, chunk, tuple.Span);
                if ((++_baseRows & 1023) == 0)
                    stop.ThrowIfCancellationRequested();
                if (full())
                    return false;
            }
        var oldest = _snapshots.Count == 0 ? null : _snapshots[0];
        foreach (var change in _input.Events())
        {
            if (oldest is not null && oldest.Sees(change.Xid) || !_input.Includes(change.CommitLsn, change.Xid))
                continue;
            translator.Event(change);
            if ((++_events & 1023) == 0)
                stop.ThrowIfCancellationRequested();
            if (full())
                return false;
        }
        return true;
    }
}
