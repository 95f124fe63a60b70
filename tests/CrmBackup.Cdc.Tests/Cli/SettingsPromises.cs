using System.Collections;
using CrmBackup.Cdc.Cli;
using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class SettingsPromises : IDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("crmbackup-settings-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Options_win_over_the_environment_and_that_over_the_file()
    {
        var file = Write("""{ "source": "Host=a;Database=file", "vault": { "path": "/file" }, "broker": "amqp://file" /* remark */ }""");
        var settings = SettingsReader.Read(
            file, Variables(("CRMBACKUP__VAULT", "/environment"), ("crmbackup__broker__uri", "amqp://environment")),
            [("broker", "amqp://option", "--broker")]);
        Assert.Equal("Host=a;Database=file", settings.SourceConnection);
        Assert.Equal("/environment", settings.VaultPath);
        Assert.Equal("amqp://option", settings.Broker.Uri);
    }

    [Fact]
    public void A_secret_in_a_file_is_read_and_an_option_replaces_it()
    {
        var secret = Path.Combine(_folder, "secret");
        File.WriteAllText(secret, "Host=secret;Database=crm\n");
        var variables = Variables(("CRMBACKUP__SOURCE__CONNECTIONFILE", secret));
        Assert.Equal("Host=secret;Database=crm", SettingsReader.Read(Write("{}"), variables, []).SourceConnection);
        Assert.Equal("Host=option;Database=crm",
            SettingsReader.Read(Write("{}"), variables, [("source", "Host=option;Database=crm", "--source")]).SourceConnection);
    }

    [Theory]
    [InlineData("""{ "source": { "conection": "x" } }""", "unknown setting 'source.conection'", "source.connection")]
    [InlineData("""{ "vualt": "x" }""", "unknown setting 'vualt'", "'vault'")]
    [InlineData("""{ "vault": ["x"] }""", "'vault' is not a single value", "config.schema.json")]
    [InlineData("{ nonsense", "is not JSON: line 1", "config.schema.json")]
    public void A_setting_that_nobody_knows_stops_the_program(string json, string message, string hint)
    {
        var error = Assert.Throws<UsageException>(() => SettingsReader.Read(Write(json), Variables(), []));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
        Assert.Contains(hint, error.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public void An_unknown_variable_stops_the_program_too()
    {
        var error = Assert.Throws<UsageException>(() => SettingsReader.Read(Write("{}"), Variables(("CRMBACKUP__SORCE", "x")), []));
        Assert.Contains("CRMBACKUP__SORCE", error.Message, StringComparison.Ordinal);
        Assert.Contains("'source'", error.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_named_but_missing_is_not_passed_over()
    {
        var error = Assert.Throws<UsageException>(() => SettingsReader.Read(Path.Combine(_folder, "none.json"), Variables(), []));
        Assert.Contains("none.json", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("200ms", 200)]
    [InlineData("1.5s", 1500)]
    [InlineData("5min", 300_000)]
    [InlineData("5m", 300_000)]
    [InlineData("1h", 3_600_000)]
    [InlineData("1d", 86_400_000)]
    public void Durations_read_as_people_write_them(string text, double milliseconds) =>
        Assert.Equal(TimeSpan.FromMilliseconds(milliseconds), SettingText.Parse(text, typeof(TimeSpan)));

    [Theory]
    [InlineData("5", typeof(TimeSpan))]
    [InlineData("-1s", typeof(TimeSpan))]
    [InlineData("1e300d", typeof(TimeSpan))]
    [InlineData("12 apples", typeof(long))]
    [InlineData("9999999999", typeof(int))]
    [InlineData("yes", typeof(bool))]
    public void A_value_of_another_kind_is_refused_in_words(string text, Type type) =>
        Assert.Contains($"'{text}'", Assert.Throws<FormatException>(() => SettingText.Parse(text, type)).Message, StringComparison.Ordinal);

    string Write(string json)
    {
        var file = Path.Combine(_folder, "crmbackup.json");
        File.WriteAllText(file, json);
        return file;
    }

    static Hashtable Variables(params (string Name, string Value)[] variables)
    {
        var table = new Hashtable();
        foreach (var (name, value) in variables)
            table[name] = value;
        return table;
    }
}
