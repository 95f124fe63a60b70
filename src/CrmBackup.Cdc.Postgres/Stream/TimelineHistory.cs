using System.Globalization;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The history file of a timeline: where each of its ancestors ended. Read as a file: Npgsql 10 cannot take the answer to
/// TIMELINE_HISTORY, which is a text on some majors and bytes on others.</summary>
static class TimelineHistory
{
    //  1<tab>0/3000148<tab>no recovery target specified
    /// <returns>Null when the timeline is no ancestor, so that what the vault holds of it never led here; or when the role may not look.</returns>
    public static async Task<Lsn?> EndOfAsync(NpgsqlConnection connection, uint timeline, uint youngest, CancellationToken stop)
    {
        foreach (var line in (await ReadAsync(connection, youngest, stop)).Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
            if (line.Split('\t', ' ') is [var number, var end, ..] && uint.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var known)
                && known == timeline)
                return Lsn.Parse(end);
        return null;
    }

    static async Task<string> ReadAsync(NpgsqlConnection connection, uint timeline, CancellationToken stop)
    {
        try
        {
            await using var command = new NpgsqlCommand(
                string.Create(CultureInfo.InvariantCulture, $"SELECT pg_read_file('pg_wal/{timeline:X8}.history')"), connection);
            return await command.ExecuteScalarAsync(stop) as string ?? "";
        }
        catch (PostgresException refused) when (refused.SqlState is PostgresErrorCodes.InsufficientPrivilege or PostgresErrorCodes.UndefinedFile)
        {
            return "";
        }
    }
}
