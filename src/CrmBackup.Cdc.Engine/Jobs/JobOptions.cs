namespace CrmBackup.Cdc.Engine;

/// <summary>How long the archive waits for workers.</summary>
public sealed record JobOptions
{
    /// <summary>A job that nobody has answered for so long is given out again, as often as it takes. The broker gives a killed worker's job
    /// out at once; this is for those that hang, and for a broker that forgot. 64 MiB settle in seconds.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>After so many failed attempts the work is given up for now; a worker that is away or stopped is no failure.</summary>
    public int AttemptsMax { get; init; } = 5;

    /// <summary>Pause after the first failure; doubled after each further one.</summary>
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
