using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.CompilerServices;
using Npgsql;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>The CRM of <c>deploy/sample</c>: eight tables with the same rows at every run.</summary>
public static class CrmSample
{
    static readonly ConcurrentDictionary<(PostgresServer, double), Lazy<Task<string>>> _templates = new();

    /// <summary>A folder of the working copy.</summary>
    public static string Folder { get; } = Path.GetFullPath(Path.Combine(
        Path.GetDirectoryName(ThisFile())!, "..", "..", "..", "deploy", "sample"));

    /// <summary>A database with the sample in it; copied from one that is generated once per server and scale.</summary>
    /// <param name="scale">1 is 345,000 rows, 80 MB, about 7 s; 0.05 is 17,000 rows.</param>
    public static async Task<string> CreateDatabaseAsync(PostgresServer server, double scale = 0.05, string prefix = "crm")
    {
        var template = await _templates.GetOrAdd((server, scale), key => new(() => GenerateAsync(key.Item1, key.Item2))).Value;
        var name = $"{prefix}_{Guid.NewGuid().ToString("N")[..8]}";
        await server.ExecuteAsync($"CREATE DATABASE \"{name}\" TEMPLATE \"{template}\"");
        return name;
    }

    /// <summary>Makes tables and rows in a database that exists.</summary>
    public static async Task FillAsync(string connectionString, double scale)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false;Command Timeout=0");
        await connection.OpenAsync();
        foreach (var sql in new[]
        {
            await File.ReadAllTextAsync(Path.Combine(Folder, "schema.sql")),
            string.Create(CultureInfo.InvariantCulture, $"SET sample.scale = '{scale}'"),
            await File.ReadAllTextAsync(Path.Combine(Folder, "data.sql")),
            "VACUUM ANALYZE",
        })
        {
            await using var command = new NpgsqlCommand(sql, connection);
            await command.ExecuteNonQueryAsync();
        }
    }

    static async Task<string> GenerateAsync(PostgresServer server, double scale)
    {
        var name = await server.CreateDatabaseAsync("crm_template");
        await FillAsync(server.ConnectionString(name), scale);
        return name;
    }

    static string ThisFile([CallerFilePath] string path = "") => path;
}
