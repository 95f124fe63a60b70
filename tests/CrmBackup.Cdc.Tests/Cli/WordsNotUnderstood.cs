using Xunit;

namespace CrmBackup.Cdc.Tests;

public class WordsNotUnderstood
{
    [Theory]
    [InlineData("", "no verb is given", "crmbackup --help")]
    [InlineData("stauts", "unknown verb 'stauts'", "'status'")]
    [InlineData("points --arround now", "unknown option '--arround'", "'--around'")]
    [InlineData("points", "no vault is given", "--vault")]
    [InlineData("points --vault /nowhere --min-rows x", "--min-rows", "points --help")]
    [InlineData("points --vault /nowhere --min-rows 5", "--min-rows goes with --around", "--around")]
    [InlineData("points --vault /nowhere --around yesterday", "'yesterday'", "with its zone")]
    [InlineData("points --vault /nowhere --around 2026-11-22T10:00", "has no zone", "(UTC)")]
    [InlineData("wait --vault /nowhere --source nonsense", "--source is not a connection string", "postgres://")]
    [InlineData("wait --vault /nowhere --timeout 5", "'5' is not a duration", "wait --help")]
    [InlineData("mark", "name", "mark --help")]
    [InlineData("status --output xml", "xml", "status --help")]
    [InlineData("status --config /nowhere.json", "/nowhere.json", "--config")]
    [InlineData("--souce x", "unknown option '--souce'", "crmbackup --help")]
    public async Task Are_answered_by_one_line_and_a_hint(string words, string message, string hint)
    {
        var (code, _, log) = await Cli.RunAsync(words);
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
        var (code, data, log) = await Cli.RunAsync("--help");
        Assert.Equal(0, code);
        Assert.Contains("Exit codes:", data, StringComparison.Ordinal);
        Assert.Empty(log);
        (code, data, _) = await Cli.RunAsync("--version");
        Assert.Equal(0, code);
        Assert.Matches(@"^\d+\.\d+\.\d+", data);
    }
}
