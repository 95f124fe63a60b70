using System.Globalization;
using CrmBackup.Cdc.Postgres;

namespace CrmBackup.Cdc.Engine;

/// <summary>What our slot may cost the source. Bound from the configuration's <c>capture.governor</c> section.</summary>
public sealed record GovernorOptions
{
    /// <summary>The slot is weighed this often.</summary>
    public TimeSpan Every { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>8 GiB of WAL and spill files: somebody should look.</summary>
    public long WarnBytes { get; init; } = 8L << 30;

    /// <summary>64 GiB: the CRM's disk is worth more than an unbroken history.</summary>
    public long LetGoBytes { get; init; } = 64L << 30;

    /// <summary>20 million transactions: the catalogs begin to swell.</summary>
    public long WarnXminAge { get; init; } = 20_000_000;

    /// <summary>150 million, below the 200 million at which the server begins to freeze by force.</summary>
    public long LetGoXminAge { get; init; } = 150_000_000;

    /// <summary>1 GiB free on the server's disk, where it can be seen from here: below, whatever is kept for us is let go.</summary>
    public long FreeBytesMin { get; init; } = 1L << 30;

    /// <summary>Less than one WAL segment more or less is no relief.</summary>
    const long WorthBytes = 64L << 20;

    public IEnumerable<string> Problems()
    {
        if (Every < TimeSpan.FromMilliseconds(50))
            yield return "capture:governor:every must be at least 50 ms";
        if (WarnBytes < 1 || LetGoBytes < WarnBytes)
            yield return "capture:governor:letGoBytes must be at least capture:governor:warnBytes, and both positive";
        if (WarnXminAge < 1 || LetGoXminAge < WarnXminAge)
            yield return "capture:governor:letGoXminAge must be at least capture:governor:warnXminAge, and both positive";
        if (FreeBytesMin < 0)
            yield return "capture:governor:freeBytesMin must not be negative";
    }

    /// <returns>Why the slot must be let go; null when it need not.</returns>
    internal string? LetGo(SlotWeight weight) =>
        weight.Bytes >= LetGoBytes ? $"{Kept(weight)}, more than capture:governor:letGoBytes allows"
        : weight.CatalogXminAge >= LetGoXminAge && weight.Keeper is null ? $"the source keeps catalog rows of {Count(weight.CatalogXminAge)} transactions for the slot, more than capture:governor:letGoXminAge allows"
        : weight.FreeBytes < FreeBytesMin && weight.Bytes >= Math.Min(WorthBytes, LetGoBytes)
            ? $"only {Size(weight.FreeBytes.Value)} are free on the source's disk, and {Kept(weight)}"
        : null;

    /// <returns>What somebody should know; null when nothing.</returns>
    internal string? Warning(SlotWeight weight) =>
        weight.Bytes >= WarnBytes ? Kept(weight)
        : weight.CatalogXminAge >= WarnXminAge ? $"the source keeps catalog rows of {Count(weight.CatalogXminAge)} transactions for the slot"
            + (weight.Keeper is { } keeper ? $", and for {keeper} as well: to let go of ours would free nothing" : "")
        : weight.KeepBytes is { } keep && weight.RetainedBytes > keep / 4 * 3
            ? $"{Kept(weight)} of the {Size(keep)} that max_slot_wal_keep_size allows: beyond that the server lets the slot go"
        : weight.FreeBytes < FreeBytesMin * 2 && weight.Bytes >= WorthBytes ? $"{Size(weight.FreeBytes.Value)} are free on the source's disk, and {Kept(weight)}"
        : null;

    static string Kept(SlotWeight weight) => $"the source keeps {Size(weight.RetainedBytes)} of WAL"
        + (weight.SpillBytes > 0 ? $" and {Size(weight.SpillBytes.Value)} of spilled transactions" : "") + " for the slot";

    static string Size(long bytes) => bytes >= 10L << 30
        ? string.Create(CultureInfo.InvariantCulture, $"{bytes >> 30} GiB") : string.Create(CultureInfo.InvariantCulture, $"{bytes >> 20} MiB");

    static string Count(long count) => string.Create(CultureInfo.InvariantCulture, $"{count:#,0}");
}
