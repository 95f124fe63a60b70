using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using Npgsql;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What the tests of capture share.</summary>
static class CaptureSource
{
    public static async Task<SourceDatabase> PreparedAsync(PostgresServer server, string schema)
    {
        var source = await SourceDatabase.CreateAsync(server);
        await source.CrmAsync(schema);
        await source.InitAsync(new SetupOptions { Identity = IdentityChoice.Full });
        return source;
    }

    /// <summary>With little patience: tests wait for what happens now and then.</summary>
    public static CaptureOptions Options(this SourceDatabase source) => new()
    {
        Source = ConnectionText.Parse(source.ConnectionString),
        Idle = TimeSpan.FromMilliseconds(200),
        SequenceEvery = TimeSpan.FromMilliseconds(200),
        RetryMax = TimeSpan.FromSeconds(1),
    };

    public static async Task<Lsn> ConfirmedAsync(this SourceDatabase source) => Lsn.Parse(await source.AskAsync<string>(
        "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = (SELECT value FROM crmbackup.settings WHERE key = 'slot')"));

    public static async Task<uint> OidAsync(this SourceDatabase source, string table) =>
        await source.AskAsync<uint>($"SELECT oid FROM pg_class WHERE relname = '{table}' AND relkind = 'r'");

    /// <summary>A second slot at the same position, read by the server itself.</summary>
    public static Task CopySlotAsync(this SourceDatabase source) => source.AskAsync<object>(
        "SELECT pg_copy_logical_replication_slot((SELECT value FROM crmbackup.settings WHERE key = 'slot'), current_database() || '_peek')");

    /// <summary>What the copied slot would have given.</summary>
    public static async Task<List<byte[]>> PeekAsync(this SourceDatabase source)
    {
        var frames = new List<byte[]>();
        await using var command = new NpgsqlCommand("""
            SELECT data FROM pg_logical_slot_peek_binary_changes(current_database() || '_peek', NULL, NULL,
                'proto_version', '1', 'publication_names', (SELECT string_agg(value, ',' ORDER BY key DESC) FROM crmbackup.settings WHERE key IN ('publication', 'changesPublication')), 'messages', 'true')
            """, source.Ours) { CommandTimeout = 120 };
        await using var rows = await command.ExecuteReaderAsync();
        while (await rows.ReadAsync())
            frames.Add(rows.GetFieldValue<byte[]>(0));
        // Capture's looks at the catalog end with a message that nobody keeps.
        frames.RemoveAll(frame => frame[0] == PgOutputFrame.Message && MessageFrame.Parse(frame).Prefix == "crmbackup.look");
        return frames;
    }

    /// <summary>The rows of a query as COPY prints them under canonical settings.</summary>
    public static async Task<string> CopyAsync(this SourceDatabase source, string query)
    {
        await using var connection = await SourceConnection.OpenAsync(source.ConnectionString, CancellationToken.None);
        using var reader = await connection.BeginTextExportAsync($"COPY ({query}) TO STDOUT");
        return await reader.ReadToEndAsync();
    }
}
