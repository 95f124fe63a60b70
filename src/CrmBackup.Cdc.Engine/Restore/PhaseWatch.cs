namespace CrmBackup.Cdc.Engine;

/// <summary>How long each phase took.</summary>
sealed class PhaseWatch(TimeProvider clock, IProgress<RestoreProgress>? progress)
{
    readonly Dictionary<string, double> _seconds = [];
    readonly long _began = clock.GetTimestamp();
    long _phaseBegan;
    RestorePhase? _phase;

    public IProgress<RestoreProgress>? Progress => progress;

    public double Total => clock.GetElapsedTime(_began).TotalSeconds;

    public IReadOnlyDictionary<string, double> Seconds
    {
        get
        {
            End();
            return new Dictionary<string, double>(_seconds);
        }
    }

    public void Begin(RestorePhase phase)
    {
        End();
        (_phase, _phaseBegan) = (phase, clock.GetTimestamp());
        progress?.Report(new RestoreProgress(phase, null, 0, 0));
    }

    void End()
    {
        if (_phase is not { } phase)
            return;
        var name = char.ToLowerInvariant(phase.ToString()[0]) + phase.ToString()[1..];
        _seconds[name] = _seconds.GetValueOrDefault(name) + clock.GetElapsedTime(_phaseBegan).TotalSeconds;
        _phase = null;
    }
}
