using System.Reflection;
using System.Text.RegularExpressions;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Our functions as they stand in <c>Setup/Sql</c>, with the canonical settings put in.</summary>
static partial class SetupSql
{
    /// <summary>In the order in which they can be created.</summary>
    static readonly string[] _names =
    [
        "seal", "mark", "barrier", "missing_value", "value_rule", "protects", "table_image", "publication_state", "has_key", "give_identity", "touched",
        "entry", "grants", "remarks", "index_state", "unit_of", "define_relation", "define_parts", "define_type", "define_function",
        "define_publication", "define_default_acls", "define", "describe", "lost",
        "failed_contents", "failed_rewrite", "undescribed", "sealed", "on_change", "publish_changes", "tell_changes",
        "ddl_contents", "ddl_definitions", "drop_contents", "drop_definitions", "reemit",
        "on_rewrite", "on_ddl_end", "on_drop", "on_ddl_start",
    ];

    /// <summary>Those of the settings that decide the text of values, for functions that print values in the CRM's session.</summary>
    static readonly string[] _textSettings =
    [
        "DateStyle", "IntervalStyle", "TimeZone", "extra_float_digits", "bytea_output", "lc_monetary", "quote_all_identifiers",
        "xmloption", "row_security", "jit",
    ];

    /// <summary>Name, event and function. The last one is for servers with a publication of updates and deletes (<see cref="ChangesPlan"/>).</summary>
    public static readonly IReadOnlyList<(string Name, string Event, string Function)> EventTriggers =
    [
        ("crmbackup_rewrite", "table_rewrite", "on_rewrite"),
        ("crmbackup_ddl_end", "ddl_command_end", "on_ddl_end"),
        ("crmbackup_sql_drop", "sql_drop", "on_drop"),
        (ListedTables, "ddl_command_start", "on_ddl_start"),
    ];

    public const string ListedTables = "crmbackup_ddl_start";

    /// <summary>The trigger of a table whose updates and deletes cannot be published.</summary>
    public const string RowTrigger = "crmbackup_changes";

    public static IEnumerable<(string Name, string Event, string Function)> EventTriggersOf(int major) =>
        EventTriggers.Where(trigger => trigger.Name != ListedTables || ChangesPlan.Applies(major));

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

    [GeneratedRegex(@" DEFAULT [^,)]+")]
    public static partial Regex Default();

    [GeneratedRegex(@"\bSET (\w+) = ('[^']*'|pg_catalog, pg_temp|\w+)")]
    private static partial Regex Setting();
}

/// <param name="Signature">With parameter names and defaults as declared.</param>
/// <param name="Body">What <c>pg_proc.prosrc</c> holds when nobody changed it.</param>
sealed record SetupFunction(
    string Name, string Signature, string Statement, string Body, bool SecurityDefiner, IReadOnlyList<string> Config)
{
    /// <summary>Signature for GRANT and REVOKE, which take no defaults.</summary>
    public string GrantSignature => SetupSql.Default().Replace(Signature, "");

    public bool Is(FunctionFacts facts) =>
        facts.Body == Body && facts.SecurityDefiner == SecurityDefiner && facts.OwnerIsSuperuser
        && facts.Config.Order(StringComparer.Ordinal).SequenceEqual(Config.Order(StringComparer.Ordinal));
}
