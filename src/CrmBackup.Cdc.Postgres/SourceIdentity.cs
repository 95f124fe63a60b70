using System.Globalization;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Is this database the one that a vault is a backup of? A copy brings our settings along, and its LSNs and transaction ids mean
/// nothing in the vault that they name.</summary>
public static class SourceIdentity
{
    /// <summary>What to do with a copy, wherever it came from.</summary>
    public const string OfACopy = "Take the copy's set-up away with 'crmbackup init --remove', then run 'crmbackup init' with a new vault. The old vault is restored as before.";

    /// <summary>Of the cluster; 0 when the role may not ask.</summary>
    public static async Task<ulong> ClusterAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        try
        {
            await using var command = new NpgsqlCommand("SELECT system_identifier::text FROM pg_control_system()", connection);
            return unchecked((ulong)long.Parse((string)(await command.ExecuteScalarAsync(stop))!, CultureInfo.InvariantCulture));
        }
        catch (PostgresException refused) when (refused.SqlState == PostgresErrorCodes.InsufficientPrivilege)
        {
            return 0;
        }
    }

    /// <param name="vault">The cluster of the vault; 0: none yet.</param>
    /// <exception cref="RefusedException">Another cluster.</exception>
    public static void RefuseOtherCluster(ulong source, ulong vault)
    {
        if (source != 0 && vault != 0 && source != vault)
            throw new RefusedException(
                $"the source is the cluster {source}, the vault belongs to {vault}: pg_upgrade has made another one of it, or it is a copy", OfACopy);
    }

    /// <summary>Both: the cluster, and within it the database, by the slot that its settings name.</summary>
    /// <exception cref="RefusedException">A copy.</exception>
    public static async Task RefuseCopyAsync(NpgsqlConnection source, ulong vault, CancellationToken stop)
    {
        RefuseOtherCluster(await ClusterAsync(source, stop), vault);
        const string sql = """
            SELECT s.database::text FROM crmbackup.settings k JOIN pg_replication_slots s ON k.key = 'slot' AND s.slot_name = k.value
            WHERE s.database IS DISTINCT FROM current_database()
            """;
        await using var command = new NpgsqlCommand(sql, source);
        if (await command.ExecuteScalarAsync(stop) is string original)
            throw new RefusedException($"the database {source.Database} is a copy of {original}, whose slot its settings name", OfACopy);
    }
}
