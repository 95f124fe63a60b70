using System.Text;

namespace CrmBackup.Cdc.Core;

/// <summary>Reads and writes the texts of values that hold others, as PostgreSQL's output functions write them. What a reader does not
/// understand is a <see cref="FormatViolationException"/>.</summary>
static class NestedText
{
    const string CompositeQuoted = "\"\\(),";
    const string RangeQuoted = "\"\\()[],";

    /// <summary><c>(1,"a ""b""",)</c>: the fields, null for NULL.</summary>
    public static List<string?> Fields(string text)
    {
        if (text is not ['(', .., ')'])
            throw Unreadable(text);
        var fields = new List<string?>();
        if (text.Length == 2)
            return fields;
        for (var at = 1; at < text.Length; at++)
            fields.Add(Part(text, ref at, ",)"));
        return fields;
    }

    public static string Composite(IEnumerable<string?> fields) =>
        $"({string.Join(',', fields.Select(field => field is null ? "" : Doubled(field, CompositeQuoted)))})";

    /// <summary><c>[lower,upper)</c>, <c>empty</c>: each bound by the function; no bound stays none.</summary>
    public static string Range(string text, Func<string, string> bound)
    {
        if (text == "empty")
            return text;
        if (text is not ['[' or '(', .., ']' or ')'])
            throw Unreadable(text);
        var at = 1;
        var low = Part(text, ref at, ",");
        at++;
        var high = Part(text, ref at, "])");
        return $"{text[0]}{Bound(low)},{Bound(high)}{text[^1]}";

        string Bound(string? value) => value is null ? "" : Doubled(bound(value), RangeQuoted);
    }

    /// <summary><c>{[1,2),[5,6)}</c>: each range by the function.</summary>
    public static string Multirange(string text, Func<string, string> range)
    {
        if (text is not ['{', .., '}'])
            throw Unreadable(text);
        var ranges = new List<string>();
        for (var at = 1; at < text.Length - 1; at++)
        {
            var start = at++;
            Part(text, ref at, ",");
            at++;
            Part(text, ref at, "])");
            ranges.Add(range(text[start..++at]));
        }
        return $"{{{string.Join(',', ranges)}}}";
    }

    /// <summary><c>[0:1]={a,"b c",NULL}</c>, nested for more dimensions: each element by the function.</summary>
    public static string Array(string text, char delimiter, Func<string, string> element)
    {
        var result = new StringBuilder();
        var at = 0;
        if (text.StartsWith('['))
            at = text.IndexOf('=', StringComparison.Ordinal) + 1;
        result.Append(text, 0, at);
        while (at < text.Length)
        {
            var c = text[at];
            if (c is '{' or '}' || c == delimiter)
            {
                result.Append(c);
                at++;
            }
            else if (c == '"')
            {
                var value = new StringBuilder();
                for (at++; at < text.Length && text[at] != '"'; at++)
                    value.Append(text[at] == '\\' ? text[++at] : text[at]);
                at++;
                result.Append(Element(element(value.ToString()), delimiter));
            }
            else
            {
                var start = at;
                while (at < text.Length && text[at] is not '}' && text[at] != delimiter)
                    at++;
                var bare = text[start..at];
                result.Append(bare == "NULL" ? bare : Element(element(bare), delimiter));
            }
        }
        return result.ToString();
    }

    static string Element(string value, char delimiter)
    {
        var quoted = value.Length == 0 || value.Equals("NULL", StringComparison.OrdinalIgnoreCase)
            || value.Any(c => c is '"' or '\\' or '{' or '}' || c == delimiter || IsSpace(c));
        return quoted ? $"\"{value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"" : value;
    }

    static string Doubled(string value, string quoted) => value.Length == 0 || value.Any(c => quoted.Contains(c) || IsSpace(c))
        ? $"\"{value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : value;

    /// <summary>Reads up to one of the ends, where <paramref name="at"/> then stands. Null when there is nothing, unquoted.</summary>
    static string? Part(string text, ref int at, string ends)
    {
        var value = new StringBuilder();
        var (quoted, inside) = (false, false);
        for (; ; at++)
        {
            if (at >= text.Length)
                throw Unreadable(text);
            var c = text[at];
            if (!inside && ends.Contains(c))
                return value.Length == 0 && !quoted ? null : value.ToString();
            if (c == '\\' && at + 1 < text.Length)
                value.Append(text[++at]);
            else if (c != '"')
                value.Append(c);
            else if (inside && at + 1 < text.Length && text[at + 1] == '"')
                value.Append(text[++at]);
            else
                (inside, quoted) = (!inside, true);
        }
    }

    static bool IsSpace(char c) => c is ' ' or (>= '\t' and <= '\r');

    static FormatViolationException Unreadable(string text) => new($"the value {text} is not what its type writes");
}
