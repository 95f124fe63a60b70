using System.Globalization;

namespace CrmBackup.Cdc.Core;

/// <summary>Every position with From &lt;= position &lt;= UpTo, on one timeline, whose state is known exactly.</summary>
/// <param name="FromTime">A commit time known to lie within: never too early, at most one segment too late. Null when no event says it.</param>
/// <param name="UpToTime">The source's clock at <paramref name="UpTo"/>, as far as the vault knows it.</param>
public sealed record CoverageRange(Position From, Position UpTo, SourceTime? FromTime, SourceTime? UpToTime)
{
    public bool Holds(Position at) => at.Timeline == From.Timeline && at.Lsn >= From.Lsn && at.Lsn <= UpTo.Lsn;

    public override string ToString()
    {
        var timeline = From.Timeline == 1 ? "" : string.Create(CultureInfo.InvariantCulture, $" on timeline {From.Timeline}");
        return $"{Edge(From.Lsn, FromTime)} to {Edge(UpTo.Lsn, UpToTime)}{timeline}";
    }

    static string Edge(Lsn lsn, SourceTime? time) => time is null ? $"lsn:{lsn}" : $"lsn:{lsn} ({time})";
}

/// <param name="Live">The relation exists at the newest position of the vault.</param>
public sealed record RelationCoverage(int Relation, string Name, bool Live, IReadOnlyList<CoverageRange> Ranges)
{
    public bool Holds(Position at) => Ranges.Any(range => range.Holds(at));
}

/// <summary>Where exact restores are possible, and what is reduced. Pure: what a <see cref="VaultState"/> says.</summary>
/// <param name="Database">All relations that lived at the position are covered.</param>
/// <param name="Marks">Marks that can be restored to.</param>
/// <param name="Reduced">What is not covered, or not exactly, in words.</param>
public sealed record Coverage(
    IReadOnlyList<CoverageRange> Database, IReadOnlyList<RelationCoverage> Relations, IReadOnlyList<Mark> Marks,
    IReadOnlyList<string> Reduced)
{
    /// <summary>The vault's setting that says where the stretch begins whose tables no listing of the source has told yet: until one does, nothing
    /// of the database is covered there, whatever is known of tables that the stream made. Empty or absent: there is none.</summary>
    public const string UnlistedFrom = "unlistedFrom";

    /// <param name="only">The relations that matter; all when null.</param>
    public static Coverage Of(VaultState state, IReadOnlySet<int>? only = null) => new CoverageSweep(state, only).Run();

    public bool Holds(Position at) => Database.Any(range => range.Holds(at));

    /// <summary>The newest position of the whole database that can be restored; null when there is none.</summary>
    public Position? Latest => Database.Count == 0 ? null : Database[^1].UpTo;

    /// <summary>The covered positions nearest before and after, on the same timeline.</summary>
    public (Position? Before, Position? After) Nearest(Position at)
    {
        Position? before = null, after = null;
        foreach (var range in Database.Where(range => range.From.Timeline == at.Timeline))
        {
            if (range.Holds(at))
                return (at, at);
            if (range.UpTo.Lsn < at.Lsn)
                before = range.UpTo;
            else if (range.From.Lsn > at.Lsn)
                after ??= range.From;
        }
        return (before, after);
    }

    /// <summary>The coverage in one line, for refusals: the newest ranges first, at most four.</summary>
    public string Describe()
    {
        if (Database.Count == 0)
            return "nothing is covered yet: the first base is not complete";
        var shown = Database.Reverse().Take(4).Select(range => range.ToString());
        var more = Database.Count > 4 ? $"; and {Database.Count - 4} older ranges" : "";
        return "covered: " + string.Join("; ", shown) + more;
    }
}
