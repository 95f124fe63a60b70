namespace CrmBackup.Cdc.Vault;

/// <summary>date, time and timestamp as PostgreSQL prints them with <c>DateStyle=ISO</c>, for the years 1 to 9999. What lies outside
/// (infinity, BC, later years, 24:00:00) is not parsed: such a value is kept as an exception.</summary>
static class TimeText
{
    public const int LengthMax = 32;
    const long MicrosecondsPerDay = 86_400_000_000;
    static readonly int UnixEpochDay = DateOnly.FromDateTime(DateTime.UnixEpoch).DayNumber;

    /// <summary>Days since 1970-01-01.</summary>
    public static bool TryParseDate(ReadOnlySpan<byte> text, out int days)
    {
        days = 0;
        if (text.Length != 10 || text[4] != '-' || text[7] != '-'
            || !Number(text[..4], out var year) || !Number(text[5..7], out var month) || !Number(text[8..10], out var day)
            || year < 1 || month is < 1 or > 12 || day < 1 || day > DateTime.DaysInMonth(year, month))
            return false;
        days = new DateOnly(year, month, day).DayNumber - UnixEpochDay;
        return true;
    }

    /// <summary>Microseconds since midnight.</summary>
    public static bool TryParseTime(ReadOnlySpan<byte> text, out long microseconds)
    {
        microseconds = 0;
        if (text.Length < 8 || text[2] != ':' || text[5] != ':'
            || !Number(text[..2], out var hour) || !Number(text[3..5], out var minute) || !Number(text[6..8], out var second)
            || hour > 23 || minute > 59 || second > 59)
            return false;
        var fraction = 0;
        if (text.Length > 8)
        {
            if (text[8] != '.' || text.Length is < 10 or > 15 || !Number(text[9..], out fraction))
                return false;
            for (var digits = text.Length - 9; digits < 6; digits++)
                fraction *= 10;
        }
        microseconds = ((hour * 60L + minute) * 60 + second) * 1_000_000 + fraction;
        return true;
    }

    /// <summary>Microseconds since 1970-01-01 00:00:00.</summary>
    public static bool TryParseTimestamp(ReadOnlySpan<byte> text, out long microseconds)
    {
        microseconds = 0;
        if (text.Length < 19 || text[10] != ' ' || !TryParseDate(text[..10], out var days) || !TryParseTime(text[11..], out var time))
            return false;
        microseconds = days * MicrosecondsPerDay + time;
        return true;
    }

    public static int FormatDate(int days, Span<byte> target)
    {
        var (year, month, day) = DateOnly.FromDayNumber(days + UnixEpochDay);
        Two(year / 100, target);
        Two(year % 100, target[2..]);
        target[4] = (byte)'-';
        Two(month, target[5..]);
        target[7] = (byte)'-';
        Two(day, target[8..]);
        return 10;
    }

    public static int FormatTime(long microseconds, Span<byte> target)
    {
        var seconds = (int)(microseconds / 1_000_000);
        var fraction = (int)(microseconds - seconds * 1_000_000L);
        Two(seconds / 3600, target);
        target[2] = (byte)':';
        Two(seconds / 60 % 60, target[3..]);
        target[5] = (byte)':';
        Two(seconds % 60, target[6..]);
        if (fraction == 0)
            return 8;
        target[8] = (byte)'.';
        Two(fraction / 10_000, target[9..]);
        Two(fraction / 100 % 100, target[11..]);
        Two(fraction % 100, target[13..]);
        return target[..15].TrimEnd((byte)'0').Length;
    }

    public static int FormatTimestamp(long microseconds, Span<byte> target)
    {
        var days = (int)Math.DivRem(microseconds, MicrosecondsPerDay, out var time);
        if (time < 0)
            (days, time) = (days - 1, time + MicrosecondsPerDay);
        FormatDate(days, target);
        target[10] = (byte)' ';
        return 11 + FormatTime(time, target[11..]);
    }

    static void Two(int value, Span<byte> target)
    {
        target[0] = (byte)('0' + value / 10);
        target[1] = (byte)('0' + value % 10);
    }

    static bool Number(ReadOnlySpan<byte> digits, out int value)
    {
        value = 0;
        foreach (var digit in digits)
        {
            if (digit is < (byte)'0' or > (byte)'9')
                return false;
            value = value * 10 + digit - '0';
        }
        return true;
    }
}
