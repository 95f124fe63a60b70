using System.Globalization;

namespace CrmBackup.Cdc.Core;

/// <summary>How the source's timelines grew from one another, as far as the vault saw it: kept among its settings. What lies on a timeline
/// beyond the point where the next one left it stays stored, and belongs to no restore but <c>timeline:N</c> (rule 10).</summary>
public static class Branches
{
    const string Prefix = "timeline ";

    /// <param name="endedAt">Where the older one ended; null when the younger did not grow from it at all.</param>
    public static KeyValuePair<string, string> Setting(uint younger, uint older, Lsn? endedAt) =>
        new(string.Create(CultureInfo.InvariantCulture, $"{Prefix}{younger:D10}"),
            string.Create(CultureInfo.InvariantCulture, $"{older} {endedAt ?? Lsn.None}"));

    /// <summary>Where a timeline left the one that the vault was on before; null when that is not known.</summary>
    public static Lsn? LeftAt(VaultState state, uint younger) =>
        state.Settings.TryGetValue(Setting(younger, 0, null).Key, out var text)
            && Lsn.TryParse(text.AsSpan(text.IndexOf(' ', StringComparison.Ordinal) + 1), out var left) && !left.IsNone ? left : null;

    /// <summary>The surviving branch: from the newest timeline back, with the last LSN that counts on each.</summary>
    public static IReadOnlyList<(uint Timeline, Lsn End)> Surviving(VaultState state)
    {
        var branch = new List<(uint, Lsn)>();
        var end = new Lsn(ulong.MaxValue);
        for (var timeline = state.CoveredTo?.Position.Timeline ?? 0; timeline > 0;)
        {
            branch.Add((timeline, end));
            if (!state.Settings.TryGetValue(Setting(timeline, 0, null).Key, out var text)
                || text.Split(' ') is not [var older, var at] || !Lsn.TryParse(at, out var left) || left.IsNone)
                break;
            end = left < end ? left : end;
            timeline = uint.Parse(older, NumberStyles.None, CultureInfo.InvariantCulture);
        }
        return branch;
    }
}
