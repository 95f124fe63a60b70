using System.Text.RegularExpressions;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Cuts a script of pg_dump's (or ours) into its statements, so that it can be sent over the protocol and never through psql.
/// Knows what can hold a semicolon that ends nothing: quotes, dollar quotes, comments, parentheses, BEGIN ATOMIC bodies.</summary>
public static partial class SqlStatements
{
    /// <summary>The statements in order, without their final semicolon, without comments before them; empty ones are left out.</summary>
    /// <param name="text">Written under <c>standard_conforming_strings = on</c>; no COPY data.</param>
    /// <exception cref="FormatException">A quote, comment or body does not end, or a line is psql's (backslash).</exception>
    public static IReadOnlyList<string> Split(string text) => [.. SplitCommented(text).Select(part => part.Statement)];

    /// <summary>As <see cref="Split"/>, each statement with the comments that stand before it.</summary>
    public static IEnumerable<(string Comments, string Statement)> SplitCommented(string text)
    {
        var at = 0;
        while (true)
        {
            var before = at;
            if (!SkipBlank(text, ref at))
                yield break;
            var end = EndOf(text, at);
            yield return (text[before..at], text[at..end].TrimEnd());
            before = at = end + 1;
        }
    }

    /// <summary>The statement in a form that Npgsql sends as one: it knows quotes and parentheses, but would cut a BEGIN ATOMIC body.</summary>
    public static string AsOneCommand(string statement) =>
        Atomic().IsMatch(statement)
            ? $"DO {SqlText.DollarQuoted($"BEGIN EXECUTE {SqlText.DollarQuoted(statement)}; END")}" : statement;

    [GeneratedRegex(@"\bBEGIN\s+ATOMIC\b", RegexOptions.IgnoreCase)]
    private static partial Regex Atomic();

    /// <returns>False at the end of the text.</returns>
    static bool SkipBlank(string text, ref int at)
    {
        while (at < text.Length)
        {
            if (char.IsWhiteSpace(text[at]) || text[at] == ';')
                at++;
            else if (Starts(text, at, "--") || Starts(text, at, "/*"))
                at = SkipComment(text, at);
            else if (text[at] == '\\')
                throw new FormatException($"a psql command stands in the script: {Line(text, at)}");
            else
                return true;
        }
        return false;
    }

    /// <summary>Where the semicolon of the statement stands, or the text's end.</summary>
    static int EndOf(string text, int at)
    {
        var start = at;
        var parentheses = 0;
        // BEGIN ATOMIC … END of an SQL function; CASE … END nests in it.
        var atomic = 0;
        while (at < text.Length)
        {
            var c = text[at];
            if (c == ';' && parentheses == 0 && atomic == 0)
                return at;
            if (Starts(text, at, "--") || Starts(text, at, "/*"))
                at = SkipComment(text, at);
            else if (c is '\'' or '"')
                at = SkipQuoted(text, at, c, backslashes: c == '\'' && IsEscapePrefix(text, start, at));
            else if (c == '$' && SkipDollarQuoted(text, at) is { } after)
                at = after;
            else if (IsWordStart(c))
            {
                var word = text.AsSpan(at, WordLength(text, at));
                at += word.Length;
                if (atomic == 0)
                    atomic = Is(word, "BEGIN") && NextWordIs(text, at, "ATOMIC") ? 1 : 0;
                else
                    atomic += Is(word, "CASE") ? 1 : Is(word, "END") ? -1 : 0;
            }
            else
            {
                parentheses += c == '(' ? 1 : c == ')' ? -1 : 0;
                at++;
            }
        }
        return atomic > 0 || parentheses > 0 ? throw Unended(text, start, "a statement") : at;
    }

    static bool NextWordIs(string text, int at, string word)
    {
        while (at < text.Length && char.IsWhiteSpace(text[at]))
            at++;
        return at < text.Length && IsWordStart(text[at]) && Is(text.AsSpan(at, WordLength(text, at)), word);
    }

    static int SkipComment(string text, int at)
    {
        if (text[at] == '-')
        {
            var end = text.IndexOf('\n', at);
            return end < 0 ? text.Length : end + 1;
        }
        var start = at;
        var depth = 0;
        do
        {
            if (Starts(text, at, "/*"))
                (depth, at) = (depth + 1, at + 2);
            else if (Starts(text, at, "*/"))
                (depth, at) = (depth - 1, at + 2);
            else if (++at >= text.Length)
                throw Unended(text, start, "a comment");
        }
        while (depth > 0);
        return at;
    }

    static int SkipQuoted(string text, int at, char quote, bool backslashes)
    {
        var start = at++;
        while (at < text.Length)
        {
            if (backslashes && text[at] == '\\')
                at += 2;
            else if (text[at] != quote)
                at++;
            else if (at + 1 < text.Length && text[at + 1] == quote)
                at += 2;
            else
                return at + 1;
        }
        throw Unended(text, start, "a quote");
    }

    /// <summary>E'…': the E stands alone before the quote, not at the end of a word.</summary>
    static bool IsEscapePrefix(string text, int start, int quote) =>
        quote > start && text[quote - 1] is 'E' or 'e' && (quote - 1 == start || !IsWordPart(text[quote - 2]));

    /// <returns>The place after the closing tag; null when the dollar begins none ($1, a$b).</returns>
    static int? SkipDollarQuoted(string text, int at)
    {
        if (at > 0 && IsWordPart(text[at - 1]))
            return null;
        var end = at + 1;
        while (end < text.Length && IsWordPart(text[end]) && text[end] != '$')
            end++;
        if (end >= text.Length || text[end] != '$' || char.IsAsciiDigit(text[at + 1]))
            return null;
        var tag = text[at..(end + 1)];
        var close = text.IndexOf(tag, end + 1, StringComparison.Ordinal);
        return close < 0 ? throw Unended(text, at, "a dollar quote") : close + tag.Length;
    }

    static int WordLength(string text, int at)
    {
        var end = at;
        while (end < text.Length && IsWordPart(text[end]))
            end++;
        return end - at;
    }

    static bool IsWordStart(char c) => char.IsLetter(c) || c == '_';

    static bool IsWordPart(char c) => char.IsLetterOrDigit(c) || c is '_' or '$';

    static bool Is(ReadOnlySpan<char> word, string keyword) => word.Equals(keyword, StringComparison.OrdinalIgnoreCase);

    static bool Starts(string text, int at, string what) => string.CompareOrdinal(text, at, what, 0, what.Length) == 0;

    static FormatException Unended(string text, int at, string what) =>
        new($"{what} of the script does not end: {Line(text, at)}");

    static string Line(string text, int at)
    {
        var end = text.IndexOf('\n', at);
        return text.Substring(at, Math.Min((end < 0 ? text.Length : end) - at, 120));
    }
}
