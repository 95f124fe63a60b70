using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>What capture needs of a source. Two stand behind it: the server (<see cref="PostgresSource"/>), and the simulated one of the
/// tests, which restarts, fails over and loses its slot as a seed says.</summary>
public interface ISource
{
    /// <summary>Opens the stream and the connections beside it.</summary>
    /// <param name="stop">Also ends the opened stream.</param>
    /// <exception cref="RefusedException">Another cluster, a slot that someone else reads.</exception>
    /// <exception cref="SlotLostException">A gap.</exception>
    /// <exception cref="SourceBehindException">To be waited for.</exception>
    Task<ISourceSession> OpenAsync(StreamStart start, CancellationToken stop);

    /// <param name="ownPid">Of our walsender, which may still be ending.</param>
    Task MakeSlotAnewAsync(SlotLostException lost, int? ownPid, CancellationToken stop);

    /// <summary>Advances the slot past what cannot be delivered: a gap.</summary>
    /// <param name="ownPid">Of our walsender, which may still be ending.</param>
    Task SkipAsync(StreamFacts facts, int? ownPid, string why, CancellationToken stop) =>
        throw new NotSupportedException("this source delivers everything");

    /// <summary>Does again what <c>init</c> did.</summary>
    /// <param name="facts">As they were when the stream was opened last.</param>
    /// <exception cref="SetupDamagedException">It cannot be mended without a person.</exception>
    Task MendAsync(StreamFacts facts, Guid vault, int? ownPid, SetupDamagedException damaged, CancellationToken stop) => throw damaged;
}

/// <summary>One opened stream with what is asked beside it.</summary>
public interface ISourceSession : IAsyncDisposable
{
    StreamFacts Facts { get; }

    StreamOpened Opened { get; }

    /// <summary>Where the server begins, which may lie before what was opened.</summary>
    StreamBeginning BeginsAt { get; }

    ulong SystemIdentifier { get; }

    int WalSenderPid { get; }

    /// <summary>The current frame, in memory that the next <see cref="ReadAsync"/> uses again.</summary>
    ReadOnlyMemory<byte> Frame { get; }

    /// <summary>Start of the WAL record that the current frame tells of, where it tells of a row.</summary>
    Lsn FrameAt { get; }

    /// <summary>How far the server says it has decoded, by frames and keepalives. It may already count a frame that <see cref="ReadAsync"/>
    /// has not returned yet: only record borders strictly below it are known to hold nothing unread.</summary>
    Lsn Reached { get; }

    /// <summary>Waits for the next frame. Completes at once, and allocates nothing, while frames are waiting. Ends only by an error or
    /// by the token given at opening. One call at a time.</summary>
    ValueTask ReadAsync();

    /// <summary>Everything up to here is durable: the server hears of it with the next status reply, and may drop the WAL.</summary>
    void Confirm(Lsn durable);

    /// <summary>One question at a time: this, the inventory and the sequences share a connection.</summary>
    Task<SourceMoment> LookAsync(CancellationToken stop);

    /// <summary>All protected tables, then a barrier: everything visible to the inventory was committed before it.</summary>
    Task<Inventory> TakeInventoryAsync(CancellationToken stop);

    Task<IReadOnlyList<SequenceState>> SampleSequencesAsync(CancellationToken stop);

    /// <summary>Commits a transaction that changes nothing.</summary>
    Task WriteAnchorAsync(CancellationToken stop);

    /// <param name="moment">Of <see cref="LookAsync"/>, just before.</param>
    /// <returns>Null when there is nothing to tell; and whether a damaged set-up can be mended.</returns>
    /// <exception cref="SetupRenewedException">The stream is to be opened again.</exception>
    Task<(CatalogSeen? Seen, bool CanMend)> LookAtCatalogAsync(SourceMoment moment, CancellationToken stop) =>
        Task.FromResult<(CatalogSeen?, bool)>((null, false));

    /// <summary>Each reads one chunk at a time.</summary>
    IChunkReader OpenChunkReader();

    Task<DumpedSchema> DumpSchemaAsync(CancellationToken stop);
}

public interface IChunkReader : IAsyncDisposable
{
    /// <returns>What ends the answer: <see cref="BaseChunkRead"/>, or <see cref="OrderFailed"/> when the chunk cannot be read now: what was
    /// taken before is void then.</returns>
    Task<ControlEntry> ReadAsync(ReadBaseChunk order, TakeRows take, CancellationToken stop);
}

/// <summary>Takes whole COPY lines; the memory is used again when it returns.</summary>
public delegate ValueTask TakeRows(ReadOnlyMemory<byte> lines, CancellationToken stop);
