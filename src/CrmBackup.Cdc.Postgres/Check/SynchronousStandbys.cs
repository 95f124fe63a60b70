using System.Text.RegularExpressions;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Reads <c>synchronous_standby_names</c>: are we one of them? Then every commit of the CRM would wait for our backup.</summary>
public static partial class SynchronousStandbys
{
    /// <summary>Names as PostgreSQL compares them, without regard to case; <c>*</c> means everyone.</summary>
    public static bool Match(string setting, string applicationName) =>
        Names(setting).Any(name => name == "*" || string.Equals(name, applicationName, StringComparison.OrdinalIgnoreCase));

    //  name, …   |   n (name, …)   |   FIRST n (name, …)   |   ANY n (name, …)
    static IEnumerable<string> Names(string setting)
    {
        var list = Counted().Match(setting) is { Success: true } counted ? counted.Groups[1].Value : setting;
        return list.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            .Select(name => name is ['"', .., '"'] ? name[1..^1].Replace("\"\"", "\"", StringComparison.Ordinal) : name);
    }

    [GeneratedRegex(@"^\s*(?:(?:FIRST|ANY)\s+)?\d+\s*\((.*)\)\s*$", RegexOptions.IgnoreCase | RegexOptions.Singleline)]
    private static partial Regex Counted();
}
