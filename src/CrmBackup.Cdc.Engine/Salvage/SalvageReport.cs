using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

public sealed record SalvageOptions
{
    /// <summary>A folder, or a raw image of a medium (a file or a device).</summary>
    public required string From { get; init; }

    /// <summary>Only say what could be salvaged.</summary>
    public bool DryRun { get; init; }

    /// <summary>Which vault, where several are found; the one with the most segments when null.</summary>
    public Guid? Vault { get; init; }

    /// <summary>Rows of each table to show.</summary>
    public int FirstRows { get; init; } = 3;
}

/// <summary>One table of what was found.</summary>
/// <param name="Rows">Of bases, and events, in proven segments.</param>
/// <param name="Damaged">Segments of it that are known and cannot be read.</param>
/// <param name="From">Earliest and latest commit time among its events; null where only base rows are.</param>
public sealed record SalvagedTable(
    string Table, long Rows, int Segments, int Damaged, SourceTime? From, SourceTime? To, IReadOnlyList<string> First);

/// <summary>Something that is not proven, or not whole.</summary>
public sealed record SalvageDamage(string Where, string What);

/// <param name="Proven">Segments whose content has the hash that they name.</param>
/// <param name="Used">Of them, those that the new vault holds.</param>
/// <param name="Damage">Every piece that was found and not taken.</param>
/// <param name="Missing">What the salvaged segments themselves say should be there.</param>
/// <param name="Coverage">What can be restored exactly from the new vault.</param>
/// <param name="OtherVaults">Found too, and left alone.</param>
public sealed record SalvageReport(
    string From, bool DryRun, Guid? Vault, string? NewVault, long BytesRead, int Proven, int Used, int Schemas, IReadOnlyList<SalvagedTable> Tables,
    IReadOnlyList<SalvageDamage> Damage, IReadOnlyList<string> Missing, IReadOnlyList<CoveredRange> Coverage, IReadOnlyList<Guid> OtherVaults)
{
    /// <summary>4 when not everything that the segments speak of is there.</summary>
    public ExitCode ExitCode => Proven == 0 ? ExitCode.Failed : Damage.Count + Missing.Count > 0 ? ExitCode.Difference : ExitCode.Done;
}
