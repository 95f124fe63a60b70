using CrmBackup.Cdc.Cli;

namespace CrmBackup.Cdc.Tests;

/// <summary>One call of <c>crmbackup</c>, in this process.</summary>
static class Cli
{
    public static async Task<(int Code, string Data, string[] Log)> RunAsync(string words)
    {
        var data = new StringWriter();
        var log = new StringWriter();
        var code = await CommandLine.RunAsync(
            words.Split(' ', StringSplitOptions.RemoveEmptyEntries), new Terminal(data, log), CancellationToken.None);
        return (code, data.ToString(), log.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }
}
