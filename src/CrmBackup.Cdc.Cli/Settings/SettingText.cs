using System.Globalization;

namespace CrmBackup.Cdc.Cli;

/// <summary>Values as people write them: 200ms, 5min, 32MiB. The same words in the file, in the environment and in options.</summary>
static class SettingText
{
    static readonly (string Unit, double Milliseconds)[] Times =
        [("ms", 1), ("min", 60_000), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

    static readonly (string Unit, long Bytes)[] Sizes =
        [("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40)];

    public static bool CanParse(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        return type == typeof(string) || type == typeof(bool) || type == typeof(int) || type == typeof(long)
            || type == typeof(double) || type == typeof(TimeSpan) || type.IsEnum;
    }

    /// <exception cref="FormatException">The text is no such value; the message says what one looks like.</exception>
    public static object Parse(string text, Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type == typeof(string))
            return text;
        if (type == typeof(bool))
            return text.ToLowerInvariant() switch
            {
                "true" => true,
                "false" => false,
                _ => throw new FormatException($"'{text}' is neither true nor false"),
            };
        if (type == typeof(TimeSpan))
            return Duration(text);
        if (type.IsEnum)
            return Enum.GetNames(type).FirstOrDefault(name => name.Equals(text, StringComparison.OrdinalIgnoreCase)) is { } name
                ? Enum.Parse(type, name)
                : throw new FormatException($"'{text}' is none of {string.Join(", ", Enum.GetNames(type)).ToLowerInvariant()}");
        if (type == typeof(double))
            return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number)
                ? number : throw new FormatException($"'{text}' is not a number");
        var whole = Size(text);
        if (type == typeof(long))
            return whole;
        return whole is >= int.MinValue and <= int.MaxValue ? (int)whole : throw new FormatException($"'{text}' is too large");
    }

    /// <exception cref="FormatException">Not such as 200ms, 60s, 5min, 1h or 1d.</exception>
    public static TimeSpan Duration(string text)
    {
        foreach (var (unit, milliseconds) in Times)
            if (text.EndsWith(unit, StringComparison.OrdinalIgnoreCase)
                && double.TryParse(text[..^unit.Length].TrimEnd(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var count)
                && count * milliseconds <= TimeSpan.FromDays(36500).TotalMilliseconds)
                return TimeSpan.FromMilliseconds(count * milliseconds);
        throw new FormatException($"'{text}' is not a duration such as 200ms, 60s, 5min, 1h or 1d");
    }

    static long Size(string text)
    {
        foreach (var (unit, bytes) in Sizes)
            if (text.EndsWith(unit, StringComparison.OrdinalIgnoreCase)
                && double.TryParse(text[..^unit.Length].TrimEnd(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var count)
                && count * bytes <= long.MaxValue)
                return (long)(count * bytes);
        return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number)
            ? number : throw new FormatException($"'{text}' is not a whole number, nor a size such as 64KiB, 32MiB or 1GiB");
    }
}
