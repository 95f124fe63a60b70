using System.Globalization;

namespace CrmBackup.Cdc.Core;

/// <summary>What a source's set-up leaves out (tables not chosen, row filters, missing triggers), in words, by the position from which it
/// holds. Kept among the vault's settings, one for each change, so that a restore tells what was left out at its moment, not what is now.</summary>
public static class Reductions
{
    const string Prefix = "reduced from ";

    /// <returns>Null when it holds already.</returns>
    public static KeyValuePair<string, string>? Change(VaultState state, Position from, IReadOnlyList<string> lines)
    {
        var text = string.Join('\n', lines);
        var known = All(state);
        return (known.Count > 0 ? known[^1].Text : "") == text ? null
            : new(string.Create(CultureInfo.InvariantCulture, $"{Prefix}{from.Timeline:D10} {from.Lsn.Value:x16}"), text);
    }

    /// <summary>Those that hold at a position.</summary>
    public static IEnumerable<string> At(VaultState state, Position at) =>
        Lines(All(state).LastOrDefault(one => one.From.Timeline < at.Timeline || one.From.Timeline == at.Timeline && one.From.Lsn <= at.Lsn).Text);

    /// <summary>Each with where it begins and ends, oldest first.</summary>
    public static IEnumerable<string> Told(VaultState state)
    {
        var all = All(state);
        for (var i = 0; i < all.Count; i++)
            foreach (var line in Lines(all[i].Text))
                yield return i + 1 < all.Count ? $"{line} (from {all[i].From} until {all[i + 1].From})" : $"{line} (from {all[i].From})";
    }

    static List<(Position From, string Text)> All(VaultState state) =>
        [.. state.Settings.Where(setting => setting.Key.StartsWith(Prefix, StringComparison.Ordinal)).OrderBy(setting => setting.Key, StringComparer.Ordinal)
            .Select(setting => (PositionOf(setting.Key), setting.Value))];

    static Position PositionOf(string key)
    {
        var parts = key[Prefix.Length..].Split(' ');
        if (parts.Length != 2 || !uint.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var timeline)
            || !ulong.TryParse(parts[1], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var lsn))
            throw new FormatViolationException($"the vault's setting '{key}' names no position");
        return new Position(timeline, new Lsn(lsn));
    }

    static string[] Lines(string? text) => text?.Split('\n', StringSplitOptions.RemoveEmptyEntries) ?? [];
}
