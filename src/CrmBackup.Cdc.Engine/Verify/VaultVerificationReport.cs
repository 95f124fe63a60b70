using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Something in the vault that is not as the commits say.</summary>
/// <param name="Expected">Null where no hash says how the file should be, or it is not known.</param>
/// <param name="Actual">Null when the file is missing or cannot be read.</param>
/// <param name="Relations">Tables whose rows it holds, by name; empty when none in particular (a commit) or all (a log
/// segment: see <paramref name="What"/>).</param>
public sealed record VaultDamage(
    string Path, string What, Sha256? Expected, Sha256? Actual, IReadOnlyList<string> Relations)
{
    /// <summary>From what 'verify --repair' could mend it; null when it cannot, or when nobody has asked.</summary>
    public string? MendableFrom { get; init; }

    /// <summary>Why it cannot be mended.</summary>
    public string? NotMendable { get; init; }
}

/// <summary>What a verification of a vault found. <see cref="Damage"/> empty: every byte that the commits name is as it
/// was written.</summary>
/// <param name="Head">The newest commit read.</param>
/// <param name="HeadHash">Of its file: kept elsewhere, it shows later that no history was cut off.</param>
/// <param name="Writers">How many writers the vault has had.</param>
/// <param name="SegmentsVerified">Segments whose bytes were hashed now.</param>
/// <param name="Orphans">Files that no commit names and that never counted: what a crash leaves, and what others put
/// there. Harmless.</param>
/// <param name="Retired">Segments that left the live set and wait for prune.</param>
/// <param name="Notes">What is worth knowing and no damage.</param>
/// <param name="Affected">What could be restored exactly, were it not for the damage; with <paramref name="LostMarks"/> in it.</param>
/// <param name="Remaining">With damage: where exact restores are still possible. Null when nothing can be restored
/// before a commit is put right.</param>
public sealed record VaultVerificationReport(
    Guid? Vault, long Head, Sha256? HeadHash, int Writers, int SegmentsLive, int SegmentsVerified, long BytesVerified,
    int Schemas, int Checkpoints,
    IReadOnlyList<VaultDamage> Damage, IReadOnlyList<MediumFile> Orphans, IReadOnlyList<MediumFile> Retired,
    IReadOnlyList<string> Notes, IReadOnlyList<CoverageRange> Affected, IReadOnlyList<Mark> LostMarks, Coverage? Remaining)
{
    /// <summary>Parity files and packs that the commits name.</summary>
    public int ParityFiles { get; init; }

    /// <summary>Live segments that no parity covers; null where there is none at all.</summary>
    public int? WithoutParity { get; init; }

    public ExitCode ExitCode => Damage.Count == 0 ? ExitCode.Done : ExitCode.Difference;
}

/// <param name="Path">The file being read.</param>
public readonly record struct VerificationProgress(long BytesDone, long BytesTotal, string Path);
