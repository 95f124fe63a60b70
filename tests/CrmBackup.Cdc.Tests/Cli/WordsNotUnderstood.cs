using CrmBackup.Cdc.Cli;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public class WordsNotUnderstood
{
    [Theory]
    [InlineData("", "no verb is given", "crmbackup --help")]
    [InlineData("retsore", "unknown verb 'retsore'", "crmbackup --help")]
    [InlineData("--souce x", "unknown option '--souce'", "crmbackup --help")]
    public async Task Are_answered_by_one_line_and_a_hint(string words, string message, string hint)
    {
        var (code, _, log) = await RunAsync(words);
        Assert.Equal(2, code);
        Assert.Contains(message, log[0], StringComparison.Ordinal);
        Assert.StartsWith("crmbackup: ", log[0], StringComparison.Ordinal);
        Assert.StartsWith("hint: ", log[1], StringComparison.Ordinal);
        Assert.Contains(hint, log[1], StringComparison.Ordinal);
        Assert.Equal(2, log.Length);
    }

    [Fact]
    public async Task Help_and_version_are_data_and_end_well()
    {
        var (code, data, log) = await RunAsync("--help");
        Assert.Equal(0, code);
        Assert.Contains("Exit codes:", data, StringComparison.Ordinal);
        Assert.Empty(log);
        (code, data, _) = await RunAsync("--version");
        Assert.Equal(0, code);
        Assert.Matches(@"^\d+\.\d+\.\d+", data);
    }

    static async Task<(int Code, string Data, string[] Log)> RunAsync(string words)
    {
        var data = new StringWriter();
        var log = new StringWriter();
        var code = await CommandLine.RunAsync(
            words.Split(' ', StringSplitOptions.RemoveEmptyEntries), new Terminal(data, log), CancellationToken.None);
        return (code, data.ToString(), log.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }
}
