using System.Diagnostics;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Bounded polling: the only way a test waits for something that it is not told of.</summary>
public static class Eventually
{
    public static Task TrueAsync(Func<bool> condition, TimeSpan within, string what) =>
        TrueAsync(() => Task.FromResult(condition()), within, what);

    public static async Task TrueAsync(Func<Task<bool>> condition, TimeSpan within, string what)
    {
        for (var waited = Stopwatch.StartNew(); !await condition();)
        {
            if (waited.Elapsed > within)
                throw new TimeoutException($"waited {within.TotalSeconds:0} s in vain for {what}");
            await Task.Delay(20);
        }
    }
}
