namespace CrmBackup.Cdc.Engine;

/// <summary>A file that is as it was again.</summary>
/// <param name="From">What it was made from, for people.</param>
public sealed record MendedFile(string Path, string From);

/// <param name="Mended">In the order in which they were put in place.</param>
/// <param name="After">The whole vault, verified again.</param>
public sealed record RepairReport(IReadOnlyList<MendedFile> Mended, VaultVerificationReport After);
