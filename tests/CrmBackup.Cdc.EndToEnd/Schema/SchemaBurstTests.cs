using System.Text.Json;
using CrmBackup.Cdc.EndToEnd.Oracle;
using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Schema;

/// <summary>The schema is exact at every LSN, also between two DDL transactions that follow each other at once. What it was is told by a
/// second database to which the same is done, with pg_dump in between.</summary>
[Collection("servers")]
public sealed class SchemaBurstTests(PostgresFixture postgres, ITestOutputHelper output)
{
    [Fact]
    public Task A_moment_between_two_quick_commands_has_the_schema_of_that_moment() => RunAsync(every: 8);

    [Fact]
    [Trait("Run", "Full")]
    public Task Every_moment_of_a_burst_has_the_schema_of_that_moment() => RunAsync(every: 1);

    async Task RunAsync(int every)
    {
        var database = await postgres.Server.CreateDatabaseAsync("burst");
        await postgres.Server.ExecuteAsync(SchemaBurst.Before, database);
        var reference = await postgres.Server.CreateDatabaseAsync("reference");
        await postgres.Server.ExecuteAsync(SchemaBurst.Before, reference);
        await using var crm = await Protected.InitAsync(postgres.Server, null, database);
        await using var twin = await Protected.InitAsync(postgres.Server, null, reference);
        crm.Start();
        await crm.ProtectingAsync();
        var steps = SchemaBurst.Steps((int)(await postgres.Server.ExecuteAsync("SELECT current_setting('server_version_num')::integer / 10000"))!);
        var positions = new List<string>();
        await using (var connection = await OpenAsync(crm.Source))
            foreach (var step in steps)
            {
                await using (var command = new NpgsqlCommand(step, connection))
                    await command.ExecuteNonQueryAsync();
                await using var lsn = new NpgsqlCommand("SELECT pg_current_wal_insert_lsn()::text", connection);
                positions.Add((string)(await lsn.ExecuteScalarAsync())!);
            }
        await crm.WaitAsync();
        await crm.StopAsync();
        var wrong = new List<string>();
        await using var other = await OpenAsync(twin.Source);
        foreach (var (number, step) in steps.Index())
        {
            await using (var command = new NpgsqlCommand(step, other))
                await command.ExecuteNonQueryAsync();
            if (number % every == every - 1 || number == steps.Count - 1)
                wrong.AddRange((await CompareAsync(crm, positions[number], twin)).Select(difference => $"after {step}\n  {difference}"));
        }
        output.WriteLine($"{steps.Count} transactions of DDL, every {every}. compared, {wrong.Count} differences");
        var status = await Crmbackup.RunAsync("status", "--vault", crm.Vault, "--output", "json");
        Assert.True(wrong.Count == 0, $"{string.Join('\n', wrong)}\n{status.Output}");
    }

    async Task<IReadOnlyList<string>> CompareAsync(Protected crm, string lsn, Protected twin)
    {
        var name = $"{crm.Database}_b";
        try
        {
            var result = await Crmbackup.RunAsync(
                "restore", "--vault", crm.Vault, "--to", $"lsn:{lsn}", "--target", postgres.Server.ConnectionString(name), "--output", "json");
            if (result.ExitCode != 0)
                return [$"restore ended with {result.ExitCode}: {result.Errors} {result.Output}"];
            var schema = JsonDocument.Parse(result.Output).RootElement.GetProperty("fidelity").EnumerateArray()
                .Single(line => line.GetProperty("what").GetString()!.StartsWith("schema,", StringComparison.Ordinal));
            if (schema.GetProperty("fidelity").GetString() != "exact")
                return [$"said to be {schema}; {result.Output}"];
            var expected = await StatementsAsync(twin.Source);
            var actual = await StatementsAsync(postgres.Server.ConnectionString(name));
            return [.. expected.Except(actual).Select(one => $"missing {one}"), .. actual.Except(expected).Select(one => $"too much {one}")];
        }
        finally
        {
            await postgres.Server.DropDatabaseAsync(name);
        }
    }

    async Task<IReadOnlyList<string>> StatementsAsync(string database) => (await RecordedMoment.SchemaAsync(postgres.Server, database)).Split("\n;\n");

    static async Task<NpgsqlConnection> OpenAsync(string connectionString)
    {
        var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync();
        return connection;
    }
}
