namespace CrmBackup.Cdc.Engine;

/// <summary>How loops end each other. What runs under a synchronization context stays on it, so that the simulator, which has one thread,
/// decides the order of everything; without one all is as .NET has it.</summary>
static class Ending
{
    /// <summary>Cancels; callbacks have run when it returns.</summary>
    public static Task EndAsync(this CancellationTokenSource source)
    {
        if (SynchronizationContext.Current is null)
            return source.CancelAsync();
        source.Cancel();
        return Task.CompletedTask;
    }

    /// <summary>A delay to race against something else.</summary>
    public static async Task PauseAsync(this TimeProvider clock, TimeSpan length, CancellationToken stop) => await Task.Delay(length, clock, stop);

    /// <summary>Waits for the task's end, whatever it is.</summary>
    public static async Task EndedAsync(this Task task) =>
        await task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
}
