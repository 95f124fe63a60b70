using System.Diagnostics;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What an administrator would type.</summary>
static class Shell
{
    public static async Task RunAsync(string script)
    {
        using var shell = Process.Start(new ProcessStartInfo("sh", ["-ec", script]) { RedirectStandardError = true })!;
        var errors = await shell.StandardError.ReadToEndAsync();
        await shell.WaitForExitAsync();
        Assert.True(shell.ExitCode == 0, errors);
    }
}
