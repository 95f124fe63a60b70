using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Gathers entries of one epoch's stream, or of one answer, and hands them to the change log as numbered, linked blocks.
/// One writer.</summary>
/// <param name="first">The header of block 0; its lengths and links are filled in here.</param>
sealed class BlockLane(IChangeLog log, BlockHeader first, int blockBytes, TimeProvider clock)
{
    readonly BlockBuilder _builder = new();
    BlockHeader _next = first;
    long _began;

    public bool IsEmpty => _builder.Entries == 0;

    public bool IsFull => _builder.BodyLength >= blockBytes;

    /// <summary>How long the oldest entry waits.</summary>
    public TimeSpan Age => IsEmpty ? TimeSpan.Zero : clock.GetElapsedTime(_began);

    /// <summary>End LSN of the last transaction whose every entry was added.</summary>
    public Lsn Completed { get; set; } = first.After;

    public void Add(ReadOnlySpan<byte> entry) => entry.CopyTo(Reserve(entry.Length));

    /// <summary>Space for one entry of exactly this length, to be filled before the next call.</summary>
    public Span<byte> Reserve(int length)
    {
        if (IsEmpty)
            _began = clock.GetTimestamp();
        return _builder.Reserve(length);
    }

    /// <summary>Cuts what was gathered and waits until the log has taken it. A block is never empty.</summary>
    public async Task PublishAsync(CancellationToken stop, bool last = false)
    {
        Invariant.Holds(!IsEmpty, "a block without an entry was to be cut");
        var block = _builder.Cut(_next with { After = Completed, Last = last });
        _next = _next with { Number = _next.Number + 1, Previous = block.Hash, Before = Completed };
        await log.PublishAsync(block, stop);
    }
}
