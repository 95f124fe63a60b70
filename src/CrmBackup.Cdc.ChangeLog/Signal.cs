namespace CrmBackup.Cdc.ChangeLog;

/// <summary>Something changed: take <see cref="Next"/> under the lock that guards the state, look at the state, await outside.</summary>
sealed class Signal
{
    TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task Next => _next.Task;

    /// <summary>Under the same lock.</summary>
    public void Raise()
    {
        _next.SetResult();
        _next = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
