using System.Globalization;

namespace CrmBackup.Cdc.Core;

/// <summary>What <c>pg_current_snapshot()</c> says: which 64-bit top-level transaction ids a reader saw as committed.
/// A base is tied to such a snapshot, never to an LSN: visibility order is not commit-record order.</summary>
public sealed class Snapshot
{
    readonly HashSet<ulong> _inProgress;

    Snapshot(ulong xmin, ulong xmax, HashSet<ulong> inProgress) => (Xmin, Xmax, _inProgress) = (xmin, xmax, inProgress);

    /// <summary>Every id below is visible (or aborted).</summary>
    public ulong Xmin { get; }

    /// <summary>This id and every later one is invisible.</summary>
    public ulong Xmax { get; }

    public IReadOnlyCollection<ulong> InProgress => _inProgress;

    public bool Sees(ulong xid) => xid < Xmin || (xid < Xmax && !_inProgress.Contains(xid));

    /// <summary>Orders snapshots of one server by age. What snapshots see only grows, so the order is total:
    /// the newer one sees everything that the older one sees.</summary>
    public static int CompareAge(Snapshot left, Snapshot right)
    {
        var byXmax = left.Xmax.CompareTo(right.Xmax);
        if (byXmax != 0)
            return byXmax;
        var byXmin = left.Xmin.CompareTo(right.Xmin);
        return byXmin != 0 ? byXmin : right._inProgress.Count.CompareTo(left._inProgress.Count);
    }

    /// <exception cref="FormatException">The text is not <c>xmin:xmax:xip,…</c>.</exception>
    public static Snapshot Parse(string text)
    {
        var parts = text.Split(':');
        if (parts.Length != 3
            || !ulong.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out var xmin)
            || !ulong.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var xmax))
            throw new FormatException($"'{text}' is not a snapshot such as 739:745:740,742");
        var inProgress = new HashSet<ulong>();
        foreach (var xid in parts[2].Split(',', StringSplitOptions.RemoveEmptyEntries))
            inProgress.Add(ulong.Parse(xid, NumberStyles.None, CultureInfo.InvariantCulture));
        return new Snapshot(xmin, xmax, inProgress);
    }

    public override string ToString() => $"{Xmin}:{Xmax}:{string.Join(',', _inProgress.Order())}";
}
