using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>What <c>init</c> made in the source is missing in part, or was changed by somebody else.</summary>
public sealed class SetupDamagedException(string what) : BackupException(
    what, "Run 'crmbackup init' on the source as superuser: it mends what is missing.", ExitCode.Refused);

/// <summary>Does again what <c>init</c> did, where the connected role may: without event triggers the CRM's own UPDATE of a new table
/// without a key would fail, and without a publication the slot cannot be read.</summary>
public static class SetupDamage
{
    static readonly TimeSpan _patience = TimeSpan.FromSeconds(10);

    /// <param name="vault">Whose source this is.</param>
    /// <param name="facts">As they were when the stream was opened last.</param>
    /// <param name="ownPid">Of our walsender, which may still be ending.</param>
    /// <exception cref="SetupDamagedException">It cannot be mended without a person.</exception>
    public static async Task MendAsync(
        NpgsqlConnectionStringBuilder source, Guid vault, StreamFacts facts, int? ownPid, string damage, TimeProvider clock, CancellationToken stop)
    {
        await using var connection = await SourceConnection.OpenAsync(source, stop);
        var kept = await AskAsync(connection, "SELECT to_regclass('crmbackup.settings') IS NOT NULL", stop);
        if (!await AskAsync(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user", stop))
            throw new SetupDamagedException(damage);
        if (!kept && !facts.AllTables)
            throw new SetupDamagedException($"{damage}; which tables were chosen is lost with it");
        try
        {
            await SlotState.FreeAsync(connection, facts.Slot, ownPid, clock, _patience, stop);
        }
        catch (SlotLostException)
        {
            // It is made anew with the rest.
        }
        var options = new SetupOptions { LockPatience = _patience, Vault = vault == Guid.Empty ? null : vault };
        if (!kept)
            options = options with { Slot = facts.Slot, Publication = facts.Publications[0] };
        await new SourceSetup(clock).ApplyAsync(connection, options, before: null, stop);
        // A gap: a slot that is still there goes on from now.
        await SlotLostException.SkipAsync(connection, facts.Slot, ownPid, damage, clock, stop);
    }

    static async Task<bool> AskAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        return (bool)(await command.ExecuteScalarAsync(stop))!;
    }
}
