namespace CrmBackup.Cdc.Engine;

/// <summary>How long the archive waits for workers.</summary>
public sealed record JobOptions
{
    /// <summary>A job that nobody has answered for so long is given out again. The broker gives a killed worker's job out at once; this is for
    /// those that hang, and for a broker that forgot. 64 MiB settle in seconds.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Then the work is given up for now: the log segments stay as they are.</summary>
    public int AttemptsMax { get; init; } = 5;

    /// <summary>Pause after a failed attempt.</summary>
    public TimeSpan Retry { get; init; } = TimeSpan.FromSeconds(1);

    public IEnumerable<string> Problems()
    {
        if (Patience <= TimeSpan.Zero)
            yield return "jobs:patience must be greater than zero";
        if (AttemptsMax < 1)
            yield return "jobs:attemptsMax must be at least 1";
        if (Retry < TimeSpan.Zero)
            yield return "jobs:retry must not be negative";
    }
}
