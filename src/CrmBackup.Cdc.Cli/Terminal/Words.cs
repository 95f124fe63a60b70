using System.Globalization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Cli;

/// <summary>Numbers, sizes and times as people read them.</summary>
static class Words
{
    public static string Count(long number) => number.ToString("#,0", CultureInfo.InvariantCulture);

    public static string Of(long number, string one, string? many = null) => $"{Count(number)} {(number == 1 ? one : many ?? one + "s")}";

    public static string Bytes(long bytes)
    {
        string[] units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
        double size = bytes;
        var unit = 0;
        for (; size >= 1024 && unit < units.Length - 1; unit++)
            size /= 1024;
        return FormattableString.Invariant($"{size:0.#} {units[unit]}");
    }

    public static string Duration(TimeSpan time) => time switch
    {
        { TotalSeconds: < 1 } => FormattableString.Invariant($"{time.TotalMilliseconds:0} ms"),
        { TotalSeconds: < 120 } => FormattableString.Invariant($"{time.TotalSeconds:0.#} s"),
        { TotalMinutes: < 120 } => FormattableString.Invariant($"{time.TotalMinutes:0} min"),
        { TotalHours: < 48 } => FormattableString.Invariant($"{time.TotalHours:0} h"),
        _ => FormattableString.Invariant($"{time.TotalDays:0} days"),
    };

    public static string Time(DateTimeOffset time) => SourceTime.From(time).ToString();
}
