namespace CrmBackup.Cdc.Core;

/// <summary><c>vault.json</c>: written once, never changed; its hash stands in commit 1.</summary>
/// <param name="Id">Random; every segment names it.</param>
/// <param name="SystemIdentifier">Of the source's cluster (<c>pg_control_system()</c>).</param>
/// <param name="Database">Name of the source database when the vault was made: for people.</param>
public sealed record VaultIdentity(
    Guid Id, VaultFormat Format, ulong SystemIdentifier, string Database, DateTimeOffset CreatedAt);

/// <summary>A reader refuses a newer major; a writer never writes into a newer minor.</summary>
public sealed record VaultFormat(int Major, int Minor)
{
    /// <summary>1.1: parity. An older program restores such a vault, and does not write to it.</summary>
    public static readonly VaultFormat Current = new(1, 1);
}
