using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>Messages of ours in the source's WAL, each in a transaction of its own that waits for the source's disk only.</summary>
public static class SourceMessage
{
    /// <summary>A barrier: what was committed before the call lies before the returned position.</summary>
    public static Task<Lsn> BarrierAsync(NpgsqlConnection source, string id, CancellationToken stop) =>
        EmitAsync(source, "SELECT crmbackup.barrier($1)::text", id, stop);

    /// <summary>A restore point: the state after this call.</summary>
    public static Task<Lsn> MarkAsync(NpgsqlConnection source, string name, CancellationToken stop)
    {
        if (name.Length is 0 or > 200 || name.Any(char.IsControl) || name != name.Trim())
            throw new UsageException("a mark's name has 1 to 200 characters, no control characters, no space at its ends", "For example: crmbackup mark before-import");
        return EmitAsync(source, "SELECT crmbackup.mark($1)::text", name, stop);
    }

    /// <summary>The vault that a source was prepared for.</summary>
    /// <exception cref="RefusedException">It was prepared for none.</exception>
    public static async Task<Guid> VaultOfAsync(string connectionText, CancellationToken stop)
    {
        await using var source = await SourceConnection.OpenAsync(connectionText, stop);
        return await VaultOfAsync(source, stop) ?? throw NotPrepared(source);
    }

    /// <exception cref="RefusedException">The vault belongs to another source, the source is a copy of it, or not prepared.</exception>
    public static async Task<NpgsqlConnection> OpenSourceAsync(string connectionText, BackupVault vault, CancellationToken stop)
    {
        var source = await SourceConnection.OpenAsync(connectionText, stop);
        try
        {
            var known = await VaultOfAsync(source, stop) ?? throw NotPrepared(source);
            if (known != vault.Identity.Id)
                throw new RefusedException(
                    $"the vault at {vault.Medium.Location} ({vault.Identity.Id}) is not the one that protects {Describe(source)} ({known})",
                    "Correct --source or --vault; 'crmbackup init' joins a source to a vault.");
            await SourceIdentity.RefuseCopyAsync(source, vault.Identity.SystemIdentifier, stop);
            return source;
        }
        catch
        {
            await source.DisposeAsync();
            throw;
        }
    }

    static async Task<Guid?> VaultOfAsync(NpgsqlConnection source, CancellationToken stop)
    {
        try
        {
            await using var command = new NpgsqlCommand("SELECT value FROM crmbackup.settings WHERE key = 'vault'", source);
            return await command.ExecuteScalarAsync(stop) is string text && Guid.TryParse(text, out var id) ? id : null;
        }
        catch (PostgresException failure) when (failure.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName)
        {
            return null;
        }
    }

    static RefusedException NotPrepared(NpgsqlConnection source) => new(
        $"{Describe(source)} is not prepared for backup", "Run 'crmbackup init' with this source and vault first.");

    static string Describe(NpgsqlConnection source) => $"{source.Host}:{source.Port}/{source.Database}";

    static async Task<Lsn> EmitAsync(NpgsqlConnection source, string sql, string word, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, source) { Parameters = { new() { Value = word } } };
        return Lsn.Parse((string)(await command.ExecuteScalarAsync(stop))!);
    }
}
