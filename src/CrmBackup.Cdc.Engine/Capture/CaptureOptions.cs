using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>How capture works. All but the source is bound from the configuration's <c>capture</c> section.</summary>
public sealed record CaptureOptions
{
    public required NpgsqlConnectionStringBuilder Source { get; init; }

    /// <summary>Just under 1 MiB, so that a block with its last entry fits the buffers of that size that the pool keeps: within every
    /// broker's message limit, and large enough that its costs do not show.</summary>
    public int BlockBytes { get; init; } = 960 << 10;

    /// <summary>Longest wait of a change in an open block: a twentieth of the archive's flush.</summary>
    public TimeSpan BlockAge { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>An idle source is looked at this often, and its progress told.</summary>
    public TimeSpan Idle { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Sequences are sampled this often while changes come.</summary>
    public TimeSpan SequenceEvery { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Base chunks and dumps at the same time: each is a connection that reads as fast as it can.</summary>
    public int BaseWorkers { get; init; } = 2;

    /// <summary>Longest pause between two tries to reach a source that is away.</summary>
    public TimeSpan RetryMax { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Where transactions larger than 64 MiB wait for their commit; null: the system's temporary directory.</summary>
    public string? Staging { get; init; }

    /// <summary>What of our set-up in the source is dropped or changed by somebody else is made anew, where the role may.</summary>
    public bool MendSetup { get; init; } = true;

    /// <summary>A transaction open for this long is named as the cause of what it holds up; no slot is made beside it.</summary>
    public TimeSpan LongTransaction { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>What our slot may cost the source.</summary>
    public GovernorOptions Governor { get; init; } = new();

    public IEnumerable<string> Problems()
    {
        if (BlockBytes is < 4 << 10 or > 64 << 20)
            yield return "capture:blockBytes must be between 4 KiB and 64 MiB";
        if (BlockAge <= TimeSpan.Zero)
            yield return "capture:blockAge must be greater than zero";
        if (Idle < TimeSpan.FromMilliseconds(50))
            yield return "capture:idle must be at least 50 ms";
        if (SequenceEvery < TimeSpan.FromMilliseconds(50))
            yield return "capture:sequenceEvery must be at least 50 ms";
        if (BaseWorkers is < 1 or > 16)
            yield return "capture:baseWorkers must be between 1 and 16";
        if (LongTransaction <= TimeSpan.Zero)
            yield return "capture:longTransaction must be greater than zero";
        if (RetryMax <= TimeSpan.Zero)
            yield return "capture:retryMax must be greater than zero";
        foreach (var problem in Governor.Problems())
            yield return problem;
    }

    /// <summary>Without the source: it may hold a password.</summary>
    public override string ToString() => nameof(CaptureOptions);
}
