using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;

namespace CrmBackup.Cdc.Engine;

/// <param name="ReceivedBefore">Everything up to here had been received when the source was asked.</param>
/// <param name="TakenBefore">Frames taken by then.</param>
/// <param name="Sequences">Null when they were not sampled.</param>
sealed record SourceAnswer(Lsn ReceivedBefore, long TakenBefore, IReadOnlyList<SequenceState>? Sequences, SourceMoment Moment);

/// <summary>Asks the source beside the stream: each second for its sequences while changes come, else now and then for its position.
/// One question at a time; the reader of the stream never waits for an answer.</summary>
sealed class SourceQuestions(SourceWatch watch, ReplicationStream stream, CaptureOptions options, TimeProvider clock)
    : IAsyncDisposable
{
    readonly CancellationTokenSource _ending = new();
    Task<SourceAnswer>? _asked;
    long _takenAtSample = -1;
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

    public void AskWhenDue(Lsn received, long taken)
    {
        if (_asked is not null)
            return;
        var moved = taken != _takenAtSample;
        if (_askedAt != 0 && clock.GetElapsedTime(_askedAt) < (moved ? options.SequenceEvery : options.Idle))
            return;
        _askedAt = clock.GetTimestamp();
        _takenAtSample = taken;
        _asked = AskAsync(received, taken, moved);
    }

    async Task<SourceAnswer> AskAsync(Lsn received, long taken, bool sequences)
    {
        var sampled = sequences ? await watch.SampleSequencesAsync(_ending.Token) : null;
        return new SourceAnswer(received, taken, sampled, await watch.LookAsync(stream.WalSenderPid, _ending.Token));
    }

    /// <summary>The watch's connection is free when this returns.</summary>
    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        if (_asked is not null)
            await ((Task)_asked).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _ending.Dispose();
    }
}
