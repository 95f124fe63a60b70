using System.Globalization;
using System.Text.RegularExpressions;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>One entry of pg_restore's verbose script: the object that it makes or speaks of, and its statements.</summary>
/// <param name="Number">Its number in the dump, by which others refer to it.</param>
/// <param name="Method">Table access method that was set for it; null = none.</param>
sealed record DumpEntry(
    int Number, uint Class, uint Oid, IReadOnlyList<int> DependsOn, string Name, string Kind, string Schema, bool Post, string? Tablespace, string? Method,
    List<string> Statements);

/// <summary>Reads pg_restore's script back into entries.</summary>
static partial class DumpScript
{
    /// <returns>Null when the script names no entries: it was not written verbosely.</returns>
    /// <param name="preamble">Gets the settings that stand before the first entry.</param>
    public static List<DumpEntry>? Parse(string script, bool post, List<string> preamble)
    {
        var entries = new List<DumpEntry>();
        string? tablespace = null, method = null;
        foreach (var (comments, statement) in SqlStatements.SplitCommented(script))
        {
            // Settings of the entries that follow, printed where they change.
            if (Setting().Match(statement) is { Success: true } setting)
            {
                var value = setting.Groups["value"].Value;
                if (setting.Groups["name"].Value == "default_tablespace")
                    tablespace = value == "''" ? null : value;
                else
                    method = value;
                continue;
            }
            if (Header().Matches(comments) is [.., var header])
                entries.Add(new DumpEntry(
                    Number(header.Groups["number"]), uint.Parse(header.Groups["class"].ValueSpan, CultureInfo.InvariantCulture),
                    uint.Parse(header.Groups["oid"].ValueSpan, CultureInfo.InvariantCulture),
                    [.. header.Groups["on"].Value.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(on => int.Parse(on, CultureInfo.InvariantCulture))],
                    header.Groups["name"].Value, header.Groups["kind"].Value, header.Groups["schema"].Value, post, tablespace, method, []));
            if (entries.Count > 0)
                entries[^1].Statements.Add(statement);
            else
                preamble.Add(statement);
        }
        return entries.Count == 0 && preamble.Any(statement => !statement.StartsWith("SET ", StringComparison.Ordinal)
            && !statement.StartsWith("SELECT pg_catalog.set_config", StringComparison.Ordinal)) ? null : entries;
    }

    static int Number(Group digits) => int.Parse(digits.ValueSpan, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^SET (?<name>default_tablespace|default_table_access_method) = (?<value>.*)$", RegexOptions.Singleline)]
    private static partial Regex Setting();

    [GeneratedRegex(@"^-- TOC entry (?<number>\d+) \(class (?<class>\d+) OID (?<oid>\d+)\)\n(-- Dependencies:(?<on>[ \d]*)\n)?"
        + @"-- Name: (?<name>.*); Type: (?<kind>[^;]+); Schema: (?<schema>.*); Owner: .*$", RegexOptions.Multiline)]
    private static partial Regex Header();
}
