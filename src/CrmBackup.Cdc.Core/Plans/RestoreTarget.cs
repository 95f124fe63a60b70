using System.Globalization;
using System.Text.RegularExpressions;

namespace CrmBackup.Cdc.Core;

/// <summary>What a user names as the moment to restore to. <see cref="TargetResolution"/> turns it into a position.</summary>
public abstract partial record RestoreTarget
{
    public sealed record Latest : RestoreTarget
    {
        public override string ToString() => "latest";
    }

    public sealed record AtLsn(Lsn Lsn) : RestoreTarget
    {
        public override string ToString() => $"lsn:{Lsn}";
    }

    /// <param name="Xid">64-bit; a 32-bit number is accepted when it is unique in the vault.</param>
    public sealed record AtXid(ulong Xid) : RestoreTarget
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"xid:{Xid}");
    }

    public sealed record AtMark(string Name) : RestoreTarget
    {
        public override string ToString() => $"mark:{Name}";
    }

    public sealed record AtTime(SourceTime Time) : RestoreTarget
    {
        public override string ToString() => Time.ToString();
    }

    /// <summary>The newest covered position of a timeline, for branches that a failover left behind.</summary>
    public sealed record OfTimeline(uint Timeline) : RestoreTarget
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"timeline:{Timeline}");
    }

    const string Spellings =
        "Write latest, lsn:0/1A2B3C4, xid:741, mark:NAME, timeline:2, or a time with its zone such as \"2026-11-22 10:00:00+00\".";

    /// <param name="local">The user's own zone: only for printing what a time without a zone could mean.</param>
    /// <exception cref="UsageException">The text is none of the spellings, or a time without a zone.</exception>
    public static RestoreTarget Parse(string text, TimeZoneInfo local)
    {
        text = text.Trim();
        if (text.Equals("latest", StringComparison.OrdinalIgnoreCase))
            return new Latest();
        if (After(text, "lsn:") is { } lsnText)
            return Lsn.TryParse(lsnText, out var lsn) && !lsn.IsNone
                ? new AtLsn(lsn) : throw new UsageException($"'{lsnText}' is not an LSN", "An LSN looks like 0/1A2B3C4.");
        if (After(text, "xid:") is { } xidText)
            return ulong.TryParse(xidText, NumberStyles.None, CultureInfo.InvariantCulture, out var xid) && xid > 0
                ? new AtXid(xid) : throw new UsageException($"'{xidText}' is not a transaction id",
                    "It is the number that pg_current_xact_id() gave, for example xid:741.");
        if (After(text, "mark:") is { } mark)
            return mark.Length > 0 ? new AtMark(mark) : throw new UsageException("the mark has no name", Spellings);
        if (After(text, "timeline:") is { } timelineText)
            return uint.TryParse(timelineText, NumberStyles.None, CultureInfo.InvariantCulture, out var timeline) && timeline > 0
                ? new OfTimeline(timeline) : throw new UsageException($"'{timelineText}' is not a timeline", Spellings);
        return ParseTime(text, local);
    }

    static AtTime ParseTime(string text, TimeZoneInfo local)
    {
        var match = TimePattern().Match(text);
        if (!match.Success)
            throw new UsageException($"'{text}' is not a restore target", Spellings);
        var clock = match.Groups["clock"].Value;
        if (clock.Length == 5)
            clock += ":00";
        if (!DateTime.TryParseExact($"{match.Groups["day"].Value} {clock}{match.Groups["fraction"].Value}",
            ["yyyy-MM-dd HH:mm:ss", "yyyy-MM-dd HH:mm:ss.FFFFFF"], CultureInfo.InvariantCulture, DateTimeStyles.None, out var time))
            throw new UsageException($"'{text}' is not a time of the calendar", Spellings);
        if (!match.Groups["zone"].Success)
            throw WithoutZone(text, time, local);
        return new AtTime(SourceTime.From(new DateTimeOffset(time, Offset(text, match))));
    }

    static TimeSpan Offset(string text, Match match)
    {
        if (!match.Groups["sign"].Success)
            return TimeSpan.Zero;
        var hours = int.Parse(match.Groups["hours"].Value, CultureInfo.InvariantCulture);
        var minutes = match.Groups["minutes"].Success ? int.Parse(match.Groups["minutes"].Value, CultureInfo.InvariantCulture) : 0;
        if (hours > 14 || minutes > 59 || hours == 14 && minutes > 0)
            throw new UsageException($"the zone of '{text}' is not one", "A zone looks like +00, +02 or -05:30, or Z for UTC.");
        var offset = new TimeSpan(hours, minutes, 0);
        return match.Groups["sign"].Value == "-" ? -offset : offset;
    }

    static UsageException WithoutZone(string text, DateTime time, TimeZoneInfo local)
    {
        var utc = new DateTimeOffset(time, TimeSpan.Zero);
        if (local.IsInvalidTime(time))
            return new UsageException($"'{text}' has no zone, and does not exist in {local.Id}", $"Say for example \"{Spell(utc)}\" (UTC).");
        // An hour that a clock change repeats has two readings in the local zone as well.
        var offsets = local.IsAmbiguousTime(time) ? local.GetAmbiguousTimeOffsets(time) : [local.GetUtcOffset(time)];
        var readings = offsets.Select(offset => new DateTimeOffset(time, offset))
            .Select(reading => $"\"{Spell(reading)}\" ({local.Id}, which is {Spell(reading.ToUniversalTime())})");
        return new UsageException($"'{text}' has no zone", $"Say \"{Spell(utc)}\" (UTC) or {string.Join(" or ", readings)}.");
    }

    static string Spell(DateTimeOffset time) =>
        time.ToString(time.Ticks % TimeSpan.TicksPerSecond == 0 ? "yyyy-MM-dd HH:mm:sszzz" : "yyyy-MM-dd HH:mm:ss.ffffffzzz",
            CultureInfo.InvariantCulture);

    static string? After(string text, string prefix) =>
        text.StartsWith(prefix, StringComparison.OrdinalIgnoreCase) ? text[prefix.Length..] : null;

    [GeneratedRegex(@"^(?<day>\d{4}-\d{2}-\d{2})[ Tt](?<clock>\d{2}:\d{2}(:\d{2})?)(?<fraction>\.\d{1,6})?\s*"
        + @"(?<zone>[Zz]|UTC|(?<sign>[+-])(?<hours>\d{2})(:?(?<minutes>\d{2}))?)?$")]
    private static partial Regex TimePattern();
}
