using System.Reflection;
using System.Text.RegularExpressions;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Our functions as they stand in <c>Setup/Sql</c>, with the canonical settings put in.</summary>
static partial class SetupSql
{
    /// <summary>In the order in which they can be created.</summary>
    static readonly string[] _names =
    [
        "seal", "mark", "barrier", "missing_value", "protects", "table_image", "publication_state", "give_identity", "touched",
        "failed_contents", "failed_rewrite", "ddl_contents", "drop_contents", "reemit", "on_rewrite", "on_ddl_end", "on_drop",
    ];

    /// <summary>Those of the settings that decide the text of values, for functions that print values in the CRM's session.</summary>
    static readonly string[] _textSettings =
    [
        "DateStyle", "IntervalStyle", "TimeZone", "extra_float_digits", "bytea_output", "lc_monetary", "quote_all_identifiers",
        "xmloption", "row_security", "jit",
    ];

    /// <summary>Name, event and function.</summary>
    public static readonly IReadOnlyList<(string Name, string Event, string Function)> EventTriggers =
    [
        ("crmbackup_rewrite", "table_rewrite", "on_rewrite"),
        ("crmbackup_ddl_end", "ddl_command_end", "on_ddl_end"),
        ("crmbackup_sql_drop", "sql_drop", "on_drop"),
    ];

    public static IReadOnlyList<SetupFunction> Functions { get; } = [.. _names.Select(Read)];

    static SetupFunction Read(string name)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream($"{name}.sql")
            ?? throw new InvalidOperationException($"{name}.sql is not part of the program");
        using var reader = new StreamReader(stream);
        var text = reader.ReadToEnd().TrimEnd();
        var canonical = "SET search_path = pg_catalog, pg_temp " + string.Join(' ', _textSettings.Select(setting =>
            $"SET {setting} = '{CanonicalSettings.Values.Single(pair => pair.Key == setting).Value}'"));
        text = text.Replace("/*canonical*/", canonical, StringComparison.Ordinal);
        var open = text.IndexOf("$$", StringComparison.Ordinal);
        var head = text[..open];
        return new SetupFunction(
            name, Signature().Match(head).Groups[1].Value, text,
            text[(open + 2)..text.LastIndexOf("$$", StringComparison.Ordinal)],
            head.Contains("SECURITY DEFINER", StringComparison.Ordinal),
            [.. Setting().Matches(head).Select(match => $"{match.Groups[1].Value}={match.Groups[2].Value.Trim('\'')}")]);
    }

    [GeneratedRegex(@"FUNCTION (crmbackup\.\w+\([^)]*\))")]
    private static partial Regex Signature();

    [GeneratedRegex(@"\bSET (\w+) = ('[^']*'|pg_catalog, pg_temp|\w+)")]
    private static partial Regex Setting();
}

/// <param name="Signature">With parameter names and defaults as declared.</param>
/// <param name="Body">What <c>pg_proc.prosrc</c> holds when nobody changed it.</param>
sealed record SetupFunction(
    string Name, string Signature, string Statement, string Body, bool SecurityDefiner, IReadOnlyList<string> Config)
{
    /// <summary>Signature for GRANT and REVOKE, which take no defaults.</summary>
    public string GrantSignature => Signature.Replace(" DEFAULT false", "", StringComparison.Ordinal);

    public bool Is(FunctionFacts facts) =>
        facts.Body == Body && facts.SecurityDefiner == SecurityDefiner && facts.OwnerIsSuperuser
        && facts.Config.Order(StringComparer.Ordinal).SequenceEqual(Config.Order(StringComparer.Ordinal));
}
