using System.Diagnostics;
using Npgsql;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>People at work on the sample: <c>pgbench</c> with the scripts of <c>deploy/sample/workload</c>, all of them mixed.</summary>
public sealed class CrmWorkload : IAsyncDisposable
{
    readonly Process _pgbench;
    readonly Task<string> _output;
    readonly Task<string> _errors;

    CrmWorkload(Process pgbench) =>
        (_pgbench, _output, _errors) = (pgbench, pgbench.StandardOutput.ReadToEndAsync(), pgbench.StandardError.ReadToEndAsync());

    /// <summary>Starts the clients; they stop after <paramref name="duration"/>, or when asked to.</summary>
    /// <param name="perSecond">Transactions per second of all clients together; null = as fast as they can.</param>
    public static CrmWorkload Start(PostgresServer server, string database, TimeSpan duration, int clients = 4, int? perSecond = null)
    {
        var settings = new NpgsqlConnectionStringBuilder(server.ConnectionString(database));
        var start = new ProcessStartInfo(Path.Combine(server.BinDirectory, "pgbench"))
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList =
            {
                "-n", "-h", settings.Host!, "-p", $"{settings.Port}", "-U", settings.Username!, "-c", $"{clients}", "-j", "1",
                "-T", $"{Math.Max(1, (int)duration.TotalSeconds)}", "--max-tries=10",
            },
        };
        if (perSecond is { } rate)
            start.ArgumentList.Add($"--rate={rate}");
        foreach (var script in Directory.GetFiles(Path.Combine(CrmSample.Folder, "workload"), "*.sql").Order())
        {
            start.ArgumentList.Add("-f");
            start.ArgumentList.Add($"{script}@{(Path.GetFileName(script) == "import_leads.sql" ? 1 : 5)}");
        }
        start.ArgumentList.Add(database);
        return new CrmWorkload(Process.Start(start)!);
    }

    /// <summary>Waits for the end; throws when a client's statement failed.</summary>
    /// <returns>Transactions done.</returns>
    public async Task<long> FinishAsync()
    {
        await _pgbench.WaitForExitAsync();
        var (output, errors) = (await _output, await _errors);
        if (_pgbench.ExitCode != 0)
            throw new InvalidOperationException($"pgbench failed: {errors}{output}");
        const string words = "number of transactions actually processed: ";
        var line = output.Split('\n').Single(line => line.StartsWith(words, StringComparison.Ordinal));
        return long.Parse(line[words.Length..]);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_pgbench.HasExited)
            _pgbench.Kill();
        await _pgbench.WaitForExitAsync();
        _pgbench.Dispose();
    }
}
