namespace CrmBackup.Cdc.ChangeLog;

/// <summary>Something changed: take a <see cref="Next"/> under the lock that guards the state, look at the state, await it outside.</summary>
sealed class Signal
{
    readonly List<TaskCompletionSource> _waiting = [];

    /// <summary>Completes with the next change. The caller's own, to cancel when it waits no longer.</summary>
    public TaskCompletionSource Next()
    {
        var next = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting.Add(next);
        return next;
    }

    /// <summary>Under the same lock.</summary>
    public void Raise()
    {
        foreach (var waiting in _waiting)
            waiting.TrySetResult();
        _waiting.Clear();
    }
}
