using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Which relations a restore takes: <c>--table</c> patterns against the names of the target's moment.</summary>
static class TableChoice
{
    /// <summary>Relations that ever had a matching name: which of them live at the target is known only when it is resolved.</summary>
    /// <exception cref="UsageException">A pattern that no table ever matched.</exception>
    public static IReadOnlySet<int>? Ever(VaultState state, IReadOnlyList<string> patterns)
    {
        if (patterns.Count == 0)
            return null;
        foreach (var pattern in patterns)
            if (!state.Relations.Exists(shape => Matches(pattern, shape)))
                throw new UsageException($"no table matches '{pattern}'", Known(state.Relations));
        return state.Relations.Where(shape => patterns.Any(pattern => Matches(pattern, shape))).Select(shape => shape.Number).ToHashSet();
    }

    /// <exception cref="UsageException">A pattern that no table matches at the target.</exception>
    public static IReadOnlySet<int>? At(VaultState state, IReadOnlyList<string> patterns, Lsn at)
    {
        if (patterns.Count == 0)
            return null;
        var live = state.RelationsAt(at).Values.ToList();
        foreach (var pattern in patterns)
            if (!live.Exists(shape => Matches(pattern, shape)))
                throw new UsageException($"no table matches '{pattern}' at {at}", Known(live));
        return live.Where(shape => patterns.Any(pattern => Matches(pattern, shape))).Select(shape => shape.Number).ToHashSet();
    }

    public static bool Matches(string pattern, RelationShape shape) =>
        Wildcard(pattern, pattern.Contains('.', StringComparison.Ordinal) ? shape.FullName : shape.Name);

    static string Known(IEnumerable<RelationShape> shapes)
    {
        var names = shapes.Select(shape => shape.FullName).Distinct().Order(StringComparer.Ordinal).ToList();
        return $"The vault knows {string.Join(", ", names.Take(10))}{(names.Count > 10 ? $" and {names.Count - 10} more" : "")}.";
    }

    static bool Wildcard(ReadOnlySpan<char> pattern, ReadOnlySpan<char> text) =>
        pattern.IsEmpty ? text.IsEmpty
        : pattern[0] == '*' ? Wildcard(pattern[1..], text) || (!text.IsEmpty && Wildcard(pattern, text[1..]))
        : !text.IsEmpty && (pattern[0] == '?' || pattern[0] == text[0]) && Wildcard(pattern[1..], text[1..]);
}
