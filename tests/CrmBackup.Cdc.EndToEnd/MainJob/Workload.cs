using Npgsql;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A CRM's working day on a protected database: the sample's scripts and pgbench's own, by several clients at once.</summary>
sealed class Workload
{
    static readonly string _sample = Path.Combine(FindRoot(), "deploy", "sample");
    readonly CancellationTokenSource _stop = new();
    readonly Task _running;

    Workload(Task running, CancellationTokenSource stop) => (_running, _stop) = (running, stop);

    /// <summary>The sample's schema and rows, and pgbench's tables.</summary>
    public static async Task PrepareAsync(PostgresServer server, string database, string scale)
    {
        await using var connection = new NpgsqlConnection(server.ConnectionString(database) + ";Pooling=false;Command Timeout=300");
        await connection.OpenAsync();
        foreach (var sql in new[]
        {
            await File.ReadAllTextAsync(Path.Combine(_sample, "schema.sql")),
            $"SET sample.scale = '{scale}'",
            await File.ReadAllTextAsync(Path.Combine(_sample, "data.sql")),
        })
        {
            await using var command = new NpgsqlCommand(sql, connection);
            await command.ExecuteNonQueryAsync();
        }
    }

    /// <summary>Starts clients in the background: 4 on the CRM, 2 on pgbench's tables. They work until stopped.</summary>
    public static Workload Start(Protected crm)
    {
        var stop = new CancellationTokenSource();
        var scripts = Directory.GetFiles(Path.Combine(_sample, "workload"), "*.sql").Order().SelectMany(file => new[] { "-f", file });
        var running = Task.WhenAll(
            RepeatAsync(() => crm.PgbenchAsync(["-n", "-c", "4", "-j", "1", "-T", "3", "-R", "200", "--max-tries", "20", .. scripts]), stop.Token),
            RepeatAsync(() => crm.PgbenchAsync("-n", "-c", "2", "-j", "1", "-T", "3", "-R", "200", "--max-tries", "20", "-b", "tpcb-like"), stop.Token));
        return new Workload(running, stop);
    }

    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _running;
        _stop.Dispose();
    }

    static async Task RepeatAsync(Func<Task> work, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
            await work();
    }

    static string FindRoot()
    {
        for (var folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
            if (File.Exists(Path.Combine(folder, "CrmBackup.Cdc.sln")))
                return folder;
        throw new InvalidOperationException("the tests do not stand in a checkout");
    }
}
