using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using CrmBackup.Cdc.Cli;

namespace CrmBackup.Cdc.Tests;

/// <summary>One call of <c>crmbackup</c>, in this process.</summary>
static class Cli
{
    /// <summary>What the program remembers of the tests' vaults is nobody else's.</summary>
    [ModuleInitializer]
    [SuppressMessage("Usage", "CA2255", Justification = "Before any test asks the program")]
    internal static void ForgetAtTheEnd()
    {
        var state = Directory.CreateTempSubdirectory("crmbackup-state-").FullName;
        Environment.SetEnvironmentVariable("CRMBACKUP__STATE", state);
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(state, recursive: true);
    }

    public static async Task<(int Code, string Data, string[] Log)> RunAsync(string words)
    {
        var data = new StringWriter();
        var log = new StringWriter();
        var code = await CommandLine.RunAsync(
            words.Split(' ', StringSplitOptions.RemoveEmptyEntries), new Terminal(data, log), CancellationToken.None);
        return (code, data.ToString(), log.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }
}
