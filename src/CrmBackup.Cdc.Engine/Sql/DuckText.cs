using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>DuckDB's SQL from names and values: the only place that quotes.</summary>
static class DuckText
{
    public static string Name(string identifier) => $"\"{identifier.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    public static string Literal(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";

    /// <summary>The segments by name: never a pattern, which would find orphans too.</summary>
    public static string Files(IEnumerable<SegmentEntry> segments) =>
        $"read_parquet([{string.Join(", ", segments.Select(segment => $"getvariable('vault') || '/{segment.Path}'"))}], "
        + "hive_partitioning = false, union_by_name = true)";

    /// <summary>The type that the values of a twin have.</summary>
    public static string TypeOf(string twin) => twin switch
    {
        "bool" => "BOOLEAN",
        "int2" => "SMALLINT",
        "int4" => "INTEGER",
        "int8" => "BIGINT",
        "float4" => "FLOAT",
        "float8" => "DOUBLE",
        "uuid" => "UUID",
        "date" => "DATE",
        "time" => "TIME",
        "timestamp" => "TIMESTAMP",
        "timestamptz" => "TIMESTAMP WITH TIME ZONE",
        "bytea" => "BLOB",
        "json" => "JSON",
        "text" => "VARCHAR",
        _ when twin.StartsWith("decimal(", StringComparison.Ordinal) => twin.ToUpperInvariant(),
        _ => throw new FormatViolationException($"a column of the unknown kind '{twin}' has no type in DuckDB"),
    };

    /// <summary>PostgreSQL prints no value of these types that the twin cannot hold.</summary>
    public static bool HasExceptions(string twin) => twin is not ("bool" or "int2" or "int4" or "int8" or "uuid" or "bytea");

    /// <summary>Values that may stand out of line, so that an update need not carry them.</summary>
    public static bool IsToastable(string twin) =>
        twin is "text" or "json" or "bytea" || twin.StartsWith("decimal(", StringComparison.Ordinal);

    /// <summary>A value in another type, for columns whose type changed without a rewrite.</summary>
    public static string Converted(string value, string from, string to) => (from, to) switch
    {
        _ when from == to => value,
        ("timestamp", "timestamptz") or ("timestamptz", "timestamp") => $"({value} AT TIME ZONE 'UTC')",
        _ when TypeOf(from) == TypeOf(to) => value,
        _ => $"CAST({value} AS {TypeOf(to)})",
    };

    /// <summary>An exact text as a value where DuckDB can hold it (infinity, later years), else NULL.</summary>
    public static string? Castable(string text, string twin) => twin is "text" or "json" or "bytea"
        ? null : $"TRY_CAST(CASE WHEN {text} LIKE '% BC' THEN NULL ELSE {text} END AS {TypeOf(twin)})";

    /// <summary>A member of a JSON object, by JSON Pointer: no name needs more quoting than that.</summary>
    public static string Member(string json, string name) =>
        $"({json} ->> {Literal("/" + name.Replace("~", "~0", StringComparison.Ordinal).Replace("/", "~1", StringComparison.Ordinal))})";

    /// <summary>An object of the members that are not NULL, as text that compares; NULL when there is none.</summary>
    public static string Members(IReadOnlyCollection<string> members) => members.Count == 0
        ? "CAST(NULL AS VARCHAR)"
        : $"nullif(CAST(json_merge_patch('{{}}', json_object({string.Join(", ", members)})) AS VARCHAR), '{{}}')";

    /// <summary>A missing value's canonical text as a constant.</summary>
    public static string Constant(string? text, string twin)
    {
        if (text is null)
            return $"CAST(NULL AS {TypeOf(twin)})";
        return twin == "bytea" && text.StartsWith("\\x", StringComparison.Ordinal)
            ? $"unhex({Literal(text[2..])})"
            : $"TRY_CAST({Literal(text)} AS {TypeOf(twin)})";
    }
}
