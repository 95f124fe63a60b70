using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

public sealed record CompareOptions
{
    /// <summary>Connection string or URI of the live source.</summary>
    public required string Source { get; init; }

    /// <summary>schema.table or a bare name, with * and ?; empty = every table of the vault.</summary>
    public IReadOnlyList<string> Tables { get; init; } = [];

    /// <summary>How long the archive may take to make what was compared durable.</summary>
    public TimeSpan DurableWithin { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Keys named per table.</summary>
    public int KeysNamed { get; init; } = 10;

    public FoldOptions Fold { get; init; } = new();
}

/// <param name="Done">Tables, of <paramref name="Total"/>, in this of the two passes: reading the source, then folding the vault.</param>
public sealed record CompareProgress(string Table, bool Folding, int Done, int Total);

/// <param name="Key">The key's texts in parentheses; of a table without a key the whole row.</param>
/// <param name="What">missing in the vault, missing in the source, or different.</param>
public sealed record KeyDifference(string Key, string What);

/// <param name="Equal">Null when the table could not be compared; <paramref name="Note"/> says why.</param>
public sealed record ComparedTable(
    string Table, long SourceRows, long VaultRows, Sha256? SourceHash, Sha256? VaultHash, bool? Equal,
    IReadOnlyList<KeyDifference> Differences, string? Note = null);

/// <summary>The vault's content against the live source, table by table, without restoring. The shape is the documented JSON of
/// <c>verify --source</c>.</summary>
/// <param name="Lsn">Everything compared is durable up to here.</param>
public sealed record CompareReport(string Vault, string Source, Lsn Lsn, IReadOnlyList<ComparedTable> Tables, double Seconds)
{
    public long Rows => Tables.Sum(table => table.SourceRows);

    public ExitCode ExitCode =>
        Tables.Any(table => table.Equal == false) ? ExitCode.Difference
        : Tables.Any(table => table.Equal is null) ? ExitCode.Refused : ExitCode.Done;
}
