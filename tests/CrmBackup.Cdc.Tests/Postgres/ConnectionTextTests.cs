using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class ConnectionTextTests
{
    [Theory]
    [InlineData("Host=db;Port=5433;Database=crm;Username=backup;Password=s3cret")]
    [InlineData("postgres://backup:s3cret@db:5433/crm")]
    [InlineData("postgresql://db/crm?port=5433&user=backup&password=s3cret&sslmode=verify-full")]
    public void Both_spellings_say_the_same_and_the_password_is_never_described(string text)
    {
        var settings = ConnectionText.Parse(text);
        Assert.Equal(("db", 5433, "crm", "backup", "s3cret"),
            (settings.Host, settings.Port, settings.Database, settings.Username, settings.Password));
        Assert.Equal("backup@db:5433/crm", ConnectionText.Describe(settings));
    }

    [Fact]
    public void A_uri_decodes_what_its_syntax_cannot_hold()
    {
        var settings = ConnectionText.Parse("postgres://a%40b:p%2F%3A@[::1]:6000/crm%20db");
        Assert.Equal(("a@b", "p/:", "::1", 6000, "crm db"),
            (settings.Username, settings.Password, settings.Host, settings.Port, settings.Database));
    }

    [Theory]
    [InlineData("")]
    [InlineData("crm")]
    [InlineData("Host=db;Database=crm;Pasword=hunter2")]
    [InlineData("postgres://u:hunter2@db/crm?unheard_of=1")]
    [InlineData("postgres://u:hunter2@db:port/crm")]
    [InlineData("postgres://u:hunter2@db1,db2/crm")]
    [InlineData("postgres://u:hunter2@db/crm?connect_timeout=soon")]
    [InlineData("Host=db;Port=hunter2;Database=crm")]
    public void What_is_not_a_connection_is_wrong_usage_in_one_line_without_secrets(string text)
    {
        var error = Assert.Throws<UsageException>(() => ConnectionText.Parse(text));
        Assert.DoesNotContain("hunter2", error.Message + error.Hint, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
        Assert.NotEmpty(error.Hint);
    }

    [Fact]
    public void Names_and_values_cannot_leave_their_quotes()
    {
        Assert.Equal("\"we\"\"ird\".\"t\"", SqlText.Qualified("we\"ird", "t"));
        Assert.Equal("'it''s'", SqlText.Literal("it's"));
        Assert.Equal(@"E'a\\''b'", SqlText.Literal(@"a\'b"));
        Assert.Throws<ArgumentException>(() => SqlText.Literal("a\0b"));
        Assert.StartsWith("$crmbackup_$", SqlText.DollarQuoted("a $crmbackup$ b"), StringComparison.Ordinal);
    }
}
