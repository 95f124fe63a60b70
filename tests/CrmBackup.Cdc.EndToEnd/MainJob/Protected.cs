using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;

namespace CrmBackup.Cdc.EndToEnd;

public enum Transport
{
    Embedded,
    Broker,
}

/// <summary>A database under protection: a vault of its own, and the processes that fill it, as an operator would run them.</summary>
sealed class Protected : IAsyncDisposable
{
    readonly PostgresServer _server;
    readonly RabbitServer? _broker;
    readonly string _folder = Directory.CreateTempSubdirectory("crmbackup-e2e-").FullName;
    readonly Dictionary<string, string> _environment = [];
    /// <summary>Databases, by their connection strings.</summary>
    readonly ConcurrentDictionary<string, string> _restored = [];
    int _restores;

    Protected(PostgresServer server, RabbitServer? broker, string database) => (_server, _broker, Database) = (server, broker, database);

    public string Database { get; }

    public string Vault => Path.Combine(_folder, "vault");

    public string Source => _server.ConnectionString(Database);

    public Transport Transport => _broker is null ? Transport.Embedded : Transport.Broker;

    /// <summary>The running processes by verb: run, or capture and archive.</summary>
    public Dictionary<string, Crmbackup.Running> Processes { get; } = [];

    /// <summary>Takes the database over (it is dropped at the end) and runs <c>init</c>.</summary>
    public static async Task<Protected> InitAsync(
        PostgresServer server, RabbitServer? broker, string database, params string[] initOptions)
    {
        var made = new Protected(server, broker, database);
        try
        {
            (await Crmbackup.RunAsync(["init", "--source", made.Source, "--vault", made.Vault, "--identity", "full", .. initOptions])).MustBe(0);
            return made;
        }
        catch
        {
            await made.DisposeAsync();
            throw;
        }
    }

    public void SetEnvironment(string name, string? value)
    {
        if (value is null)
            _environment.Remove(name);
        else
            _environment[name] = value;
    }

    public void Start(params string[] options)
    {
        foreach (var verb in _broker is null ? new[] { "run" } : ["capture", "archive"])
            if (!Processes.TryGetValue(verb, out var running) || running.HasEnded)
                StartVerb(verb, options);
    }

    public void StartVerb(string verb, params string[] options)
    {
        string[] common = verb == "worker" ? ["--vault", Vault] : ["--source", Source, "--vault", Vault];
        if (_broker is not null)
            common = [.. common, "--broker", _broker.AmqpUri.ToString()];
        Processes[verb] = Crmbackup.Start(_environment, [verb, .. common, .. options]);
    }

    /// <summary>Until everything committed now is durable.</summary>
    public async Task WaitAsync(int seconds = 60)
    {
        var result = await Crmbackup.RunAsync("wait", "--source", Source, "--vault", Vault, "--timeout", $"{seconds}s");
        if (result.ExitCode != 0)
            throw new InvalidOperationException($"wait: {result.Output} {result.Errors}\n{Logs}");
    }

    /// <summary>Until every table has its base: <c>status</c> says protecting.</summary>
    public Task ProtectingAsync(int seconds = 120) => Eventually.TrueAsync(async () =>
    {
        foreach (var (verb, process) in Processes)
            if (process.HasEnded)
                throw new InvalidOperationException($"crmbackup {verb} ended\n{Logs}");
        return (await Crmbackup.RunAsync("status", "--source", Source, "--vault", Vault)).ExitCode == 0;
    }, TimeSpan.FromSeconds(seconds), $"{Database} to be protected");

    /// <summary>Until the schema as it is now is in the vault: a restore to now has it exactly.</summary>
    public async Task SchemaStoredAsync()
    {
        await WaitAsync();
        await Eventually.TrueAsync(async () =>
        {
            var status = await Crmbackup.RunAsync("status", "--vault", Vault, "--output", "json");
            return JsonDocument.Parse(status.Output).RootElement.TryGetProperty("schema", out var schema) && !schema.TryGetProperty("until", out _);
        }, TimeSpan.FromSeconds(60), "the schema to be stored");
    }

    /// <summary>Restores into a new database and gives its connection string.</summary>
    public Task<string> RestoreAsync(string target, params string[] options) => RestoreFromAsync(Vault, target, options);

    /// <summary>The same from another vault: a copy, or what was salvaged.</summary>
    public async Task<string> RestoreFromAsync(string vault, string target, params string[] options)
    {
        var name = $"{Database}_r{Interlocked.Increment(ref _restores)}";
        var connection = _server.ConnectionString(name);
        _restored[connection] = name;
        var result = await Crmbackup.RunAsync(["restore", "--vault", vault, "--to", target, "--target", connection, .. options]);
        if (result.ExitCode != 0)
            throw new InvalidOperationException($"restore to {target} ended with {result.ExitCode}\n{result.Output}\n{result.Errors}");
        return connection;
    }

    public async Task DropRestoredAsync(string? only = null)
    {
        foreach (var (connection, name) in _restored.Where(one => only is null || one.Key == only).ToList())
        {
            await _server.ExecuteAsync($"DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
            _restored.TryRemove(connection, out string? _);
        }
    }

    /// <summary>SIGTERM to all; every one must end with 0.</summary>
    public async Task StopAsync()
    {
        foreach (var (verb, process) in Processes.ToList())
        {
            if (!process.HasEnded)
                (await process.StopAsync()).MustBe(0);
            Processes.Remove(verb);
        }
    }

    /// <summary>kill -9, all of them.</summary>
    public async Task KillAsync()
    {
        foreach (var process in Processes.Values)
            await process.DisposeAsync();
        Processes.Clear();
    }

    public string Logs => string.Join('\n', Processes.Select(process => $"--- {process.Key}\n{process.Value.Errors}"));

    public Task<object?> ExecuteAsync(string sql) => _server.ExecuteAsync(sql, Database);

    /// <summary>However long it takes.</summary>
    public async Task ExecuteLongAsync(string sql)
    {
        await using var connection = new Npgsql.NpgsqlConnection(Source + ";Pooling=false;Command Timeout=0");
        await connection.OpenAsync();
        await using var command = new Npgsql.NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    /// <summary>Runs a script with psql, stopping at its first error.</summary>
    public Task PsqlAsync(params string[] options) => ToolAsync("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", .. options]);

    public Task PgbenchAsync(params string[] options) => ToolAsync("pgbench", options);

    async Task ToolAsync(string tool, string[] options)
    {
        var at = new Npgsql.NpgsqlConnectionStringBuilder(Source);
        var start = new ProcessStartInfo(Path.Combine(_server.BinDirectory, tool), options)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["PGHOST"] = at.Host;
        start.Environment["PGPORT"] = at.Port.ToString();
        start.Environment["PGUSER"] = at.Username;
        start.Environment["PGPASSWORD"] = at.Password;
        start.Environment["PGDATABASE"] = Database;
        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{tool} ended with {process.ExitCode}\n{await output}\n{errors}");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var process in Processes.Values)
            await process.DisposeAsync();
        await DropRestoredAsync();
        await _server.DropDatabaseAsync(Database);
        Directory.Delete(_folder, recursive: true);
    }
}
