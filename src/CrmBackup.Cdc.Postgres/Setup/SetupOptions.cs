using System.Globalization;
using System.Text.Json;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>What a table without a key gets, so that its updates can be published.</summary>
public enum IdentityChoice
{
    /// <summary>A unique NOT NULL index where there is one, else FULL unless much lies out of line.</summary>
    Auto,
    /// <summary>As Auto, and FULL also where much lies out of line.</summary>
    Full,
    /// <summary>Only by index; a table without one is refused.</summary>
    Index,
    /// <summary>No table is changed; one without identity is refused.</summary>
    Refuse,
}

/// <param name="Predicate">SQL over the table's columns, as a publication's row filter takes it.</param>
public sealed record RowChoice(string Table, string Predicate)
{
    /// <exception cref="UsageException">Not <c>TABLE:PREDICATE</c>.</exception>
    public static RowChoice Parse(string text)
    {
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        return colon > 0 && colon + 1 < text.Length
            ? new RowChoice(text[..colon].Trim(), text[(colon + 1)..].Trim())
            : throw new UsageException($"--rows '{text}' is not TABLE:PREDICATE", "For example --rows \"public.events:kind <> 'debug'\".");
    }
}

/// <summary>What <c>init</c> was asked for.</summary>
public sealed record SetupOptions
{
    public const string DefaultPublication = "crmbackup";

    public static string DefaultSlot(uint databaseOid) => string.Create(CultureInfo.InvariantCulture, $"crmbackup_{databaseOid}");

    /// <summary>The vault that this source belongs to; another one's set-up is not taken over.</summary>
    public Guid? Vault { get; init; }

    /// <summary>The cluster that the vault belongs to; 0: not known.</summary>
    public ulong Cluster { get; init; }
    public string? Slot { get; init; }
    public string? Publication { get; init; }

    /// <summary>Patterns over schema.table with * and ?; without a dot, tables of every schema. Null: as chosen before, else all.</summary>
    public IReadOnlyList<string>? Tables { get; init; }
    public IReadOnlyList<string>? ExcludeTables { get; init; }
    public IReadOnlyList<RowChoice>? Rows { get; init; }
    public IdentityChoice Identity { get; init; } = IdentityChoice.Auto;

    /// <summary>A role of least privilege to be made, or completed.</summary>
    public string? Role { get; init; }

    /// <summary>16 MiB: emitting the rows again doubles the time under ACCESS EXCLUSIVE.</summary>
    public long RewriteLimit { get; init; } = 16L << 20;

    /// <summary>How long one lock is tried for; each try asks without waiting.</summary>
    public TimeSpan LockPatience { get; init; } = TimeSpan.FromSeconds(60);
}

/// <summary>Which tables are protected.</summary>
public sealed record ProtectedScope(
    IReadOnlyList<string> Tables, IReadOnlyList<string> ExcludeTables, IReadOnlyList<RowChoice> Rows)
{
    public bool AllTables => Tables.All(pattern => pattern == "*") && ExcludeTables.Count == 0 && Rows.Count == 0;

    /// <summary>What was asked for now; where nothing was, what was chosen before.</summary>
    public static ProtectedScope Of(SetupOptions options, SetupFacts setup) => new(
        options.Tables ?? Stored(setup, "tables"),
        options.ExcludeTables ?? Stored(setup, "excludeTables"),
        options.Rows ?? [.. Stored(setup, "rows").Select(RowChoice.Parse)]);

    public bool Chooses(TableFacts table) =>
        (Tables.Count == 0 || Tables.Any(pattern => Matches(pattern, table)))
        && !ExcludeTables.Any(pattern => Matches(pattern, table));

    public string? PredicateOf(TableFacts table) => Rows.FirstOrDefault(choice => Matches(choice.Table, table))?.Predicate;

    /// <summary>As they stand in <c>crmbackup.settings</c>.</summary>
    public IEnumerable<KeyValuePair<string, string>> Settings()
    {
        yield return new("scope", AllTables ? "all" : "chosen");
        yield return new("tables", Json(Tables));
        yield return new("excludeTables", Json(ExcludeTables));
        yield return new("rows", Json([.. Rows.Select(row => $"{row.Table}:{row.Predicate}")]));
    }

    public static bool Matches(string pattern, TableFacts table) =>
        Wildcard(pattern, pattern.Contains('.', StringComparison.Ordinal) ? table.FullName : table.Name);

    static bool Wildcard(ReadOnlySpan<char> pattern, ReadOnlySpan<char> text) =>
        pattern.IsEmpty ? text.IsEmpty
        : pattern[0] == '*' ? Wildcard(pattern[1..], text) || (!text.IsEmpty && Wildcard(pattern, text[1..]))
        : !text.IsEmpty && (pattern[0] == '?' || pattern[0] == text[0]) && Wildcard(pattern[1..], text[1..]);

    static string Json(IReadOnlyList<string> values) => JsonSerializer.Serialize(values.ToArray(), SetupJson.Default.StringArray);

    static string[] Stored(SetupFacts setup, string key) =>
        setup.Setting(key) is { } json ? JsonSerializer.Deserialize(json, SetupJson.Default.StringArray) ?? [] : [];
}

[System.Text.Json.Serialization.JsonSerializable(typeof(string[]))]
sealed partial class SetupJson : System.Text.Json.Serialization.JsonSerializerContext;
