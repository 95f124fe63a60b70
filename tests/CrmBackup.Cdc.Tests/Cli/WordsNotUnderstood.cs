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
    [InlineData("init --vault /nowhere", "no source is given", "--source")]
    [InlineData("init --source Host=x;Database=y --vault /nowhere --identity none", "none", "init --help")]
    [InlineData("init --source Host=x;Database=y --vault /nowhere --rows t", "--rows 't'", "TABLE:PREDICATE|public.events")]
    [InlineData("run --source Host=x;Database=y --vault /nowhere --flush 1", "'1' is not a duration", "config.schema.json")]
    [InlineData("run --source Host=x;Database=y --vault /nowhere --flush 1ms", "archive:flush", "config.schema.json")]
    [InlineData("run --vault /nowhere", "no source is given", "CRMBACKUP__SOURCE")]
    [InlineData("capture --source Host=x;Database=y", "no broker is given", "--broker")]
    [InlineData("archive --vault /nowhere --broker http://x", "amqp://", "amqp://")]
    [InlineData("archive --vault /nowhere", "no broker is given", "CRMBACKUP__BROKER")]
    [InlineData("restore --vault /nowhere --target Host=x;Database=y", "--to is missing", "--to latest")]
    [InlineData("restore --vault /nowhere --to latest", "--target is missing", "--target")]
    [InlineData("restore --vault /nowhere --to lsn:77 --target Host=x;Database=y", "not an LSN", "0/1A2B3C4")]
    [InlineData("restore --vault /nowhere --to latest --target Host=x;Database=y --where id", "--where 'id'", "account_id=4711")]
    [InlineData("restore --vault /nowhere --to latest --target Host=x;Database=y --jobs 0", "--jobs", "one per processor")]
    [InlineData("restore --vault /nowhere --to latest --target postgres://h/db?what=1", "what", "postgres://")]
    [InlineData("verify", "no vault is given", "--vault")]
    [InlineData("prune --vault /nowhere --grace 1s", "prune.grace", "longer grace")]
    [InlineData("settle --timeout soon --vault /nowhere", "'soon'", "settle --help")]
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
        Assert.Contains(hint.Split('|'), part => log[1].Contains(part, StringComparison.Ordinal));
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
