using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class RestoreTargetTests
{
    static readonly TimeZoneInfo Berlin = TimeZoneInfo.FindSystemTimeZoneById("Europe/Berlin");

    [Theory]
    [InlineData("latest", "latest")]
    [InlineData("lsn:0/1A2B3C4", "lsn:0/1A2B3C4")]
    [InlineData("xid:741", "xid:741")]
    [InlineData("mark:before import: 2", "mark:before import: 2")]
    [InlineData("timeline:2", "timeline:2")]
    [InlineData("2026-11-22 10:00:00+00", "2026-11-22 10:00:00.000000+00")]
    [InlineData("2026-11-22T12:00:00.5+02:00", "2026-11-22 10:00:00.500000+00")]
    [InlineData("2026-11-22 10:00Z", "2026-11-22 10:00:00.000000+00")]
    public void Every_spelling_is_understood(string text, string meaning) =>
        Assert.Equal(meaning, RestoreTarget.Parse(text, Berlin).ToString());

    [Theory]
    [InlineData("yesterday")]
    [InlineData("lsn:12")]
    [InlineData("xid:-1")]
    [InlineData("2026-13-01 10:00:00+00")]
    [InlineData("2026-11-22 10:00:00+77")]
    public void Anything_else_is_wrong_usage(string text) =>
        Assert.Equal(ExitCode.WrongUsage, Assert.Throws<UsageException>(() => RestoreTarget.Parse(text, Berlin)).ExitCode);

    [Fact]
    public void A_time_without_a_zone_is_refused_with_both_readings()
    {
        var refused = Assert.Throws<UsageException>(() => RestoreTarget.Parse("2026-11-22 10:00:00", Berlin));

        Assert.Contains("\"2026-11-22 10:00:00+00:00\" (UTC)", refused.Hint);
        Assert.Contains("\"2026-11-22 10:00:00+01:00\"", refused.Hint);
    }

    [Fact]
    public void An_hour_that_comes_twice_is_refused_with_three_readings()
    {
        var refused = Assert.Throws<UsageException>(() => RestoreTarget.Parse("2026-10-25 02:30:00", Berlin));

        Assert.Contains("02:30:00+01:00", refused.Hint);
        Assert.Contains("02:30:00+02:00", refused.Hint);
    }
}
