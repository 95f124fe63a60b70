using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;

namespace CrmBackup.Cdc.Engine;

/// <param name="ReceivedBefore">Everything up to here had been received when the source was asked.</param>
/// <param name="TakenBefore">Frames taken by then.</param>
/// <param name="Sequences">Null when they were not sampled.</param>
/// <param name="Catalog">Null when nothing is to be said of it.</param>
/// <param name="CanMend">The role may do what <c>init</c> does.</param>
sealed record SourceAnswer(Lsn ReceivedBefore, long TakenBefore, IReadOnlyList<SequenceState>? Sequences, SourceMoment Moment, CatalogSeen? Catalog, bool CanMend);

/// <summary>Asks the source beside the stream: each second for its sequences while changes come, at once
/// when a mark or a barrier came, else now and then for its position.
/// One question at a time; the reader of the stream never waits for an answer.</summary>
sealed class SourceQuestions(ISourceSession source, CaptureOptions options, TimeProvider clock)
    : IAsyncDisposable
{
    readonly CancellationTokenSource _ending = new();
    Task<SourceAnswer>? _asked;
    long _takenAtSample = -1;
    long _momentsAtSample;
    long _askedAt;

    public bool Answered => _asked is { IsCompleted: true };

    /// <summary>The answer, once; a failure of the question is thrown here.</summary>
    public async Task<SourceAnswer> TakeAsync()
    {
        Invariant.Holds(Answered, "an answer is taken when it is there");
        var answer = await _asked!;
        _asked = null;
        return answer;
    }

    /// <param name="received">End of the last transaction received.</param>
    /// <param name="taken">Frames taken.</param>
    /// <param name="moments">Marks and barriers among them.</param>
    /// <param name="anchor">A new transaction is wanted, to begin with when the stream is opened again.</param>
    public void AskWhenDue(Lsn received, long taken, long moments, bool anchor)
    {
        if (_asked is not null)
            return;
        var moved = taken != _takenAtSample;
        if (_askedAt != 0 && moments == _momentsAtSample && clock.GetElapsedTime(_askedAt) < (moved ? options.SequenceEvery : options.Idle))
            return;
        _askedAt = clock.GetTimestamp();
        (_takenAtSample, _momentsAtSample) = (taken, moments);
        _asked = AskAsync(received, taken, moved, anchor);
    }

    async Task<SourceAnswer> AskAsync(Lsn received, long taken, bool sequences, bool anchor)
    {
        if (anchor)
            await source.WriteAnchorAsync(_ending.Token);
        var sampled = sequences ? await source.SampleSequencesAsync(_ending.Token) : null;
        var moment = await source.LookAsync(_ending.Token);
        var (catalog, canMend) = await source.LookAtCatalogAsync(moment, _ending.Token);
        return new SourceAnswer(received, taken, sampled, moment, catalog, canMend);
    }

    /// <summary>The connection is free when this returns.</summary>
    public async ValueTask DisposeAsync()
    {
        await _ending.EndAsync();
        if (_asked is not null)
            await _asked.EndedAsync();
        _ending.Dispose();
    }
}
