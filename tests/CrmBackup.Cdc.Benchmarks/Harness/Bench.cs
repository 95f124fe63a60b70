using CrmBackup.Cdc.EndToEnd;
using Npgsql;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>The stage of all rows: a private PostgreSQL, a folder, and the programs. What is measured are real processes.</summary>
sealed class Bench : IAsyncDisposable
{
    /// <summary>Autovacuum would come into some rounds and not into others.</summary>
    static readonly Dictionary<string, string> _settings = new()
    {
        ["wal_level"] = "logical",
        ["max_replication_slots"] = "16",
        ["max_wal_senders"] = "16",
        ["shared_buffers"] = "1GB",
        ["max_wal_size"] = "16GB",
        ["autovacuum"] = "off",
        ["checkpoint_timeout"] = "1h",
        ["max_slot_wal_keep_size"] = "32GB",
    };
    const string BackrestFolder = "pgbackrest";
    int _folders;

    Bench(BenchOptions options, Report report, PostgresServer server, string folder) =>
        (Options, Report, Server, Folder, Backrest) = (options, report, server, folder, new PgBackRest(Path.Combine(folder, BackrestFolder), server));

    public BenchOptions Options { get; }

    public Report Report { get; }

    public PostgresServer Server { get; }

    public string Folder { get; }

    /// <summary>Only where the row <c>restore-one</c> or <c>size-slow</c> was asked for.</summary>
    public PgBackRest Backrest { get; }

    public static async Task<Bench> StartAsync(BenchOptions options, Report report)
    {
        if (!File.Exists(options.Crmbackup))
            throw new InvalidOperationException("tests/bench.sh publishes the program and says where it is; run that");
        var folder = Directory.CreateTempSubdirectory("crmbackup-bench-").FullName;
        // PostgreSQL's own user comes in, for pgbackrest.
        File.SetUnixFileMode(folder, File.GetUnixFileMode(folder) | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
        Directory.CreateDirectory(Path.Combine(folder, BackrestFolder));
        var settings = new Dictionary<string, string>(_settings);
        if (options.Rows.Intersect(["restore-one", "size-slow"]).Any())
            foreach (var (name, value) in PgBackRest.Settings(Path.Combine(folder, BackrestFolder)))
                settings[name] = value;
        var server = new LocalPostgres(settings, major: null);
        await server.StartAgainAsync();
        report.Machine = Machine.Describe($"PostgreSQL {await server.ExecuteAsync("SHOW server_version")}");
        return new Bench(options, report, server, folder);
    }

    public string NewFolder(string name) => Directory.CreateDirectory(Path.Combine(Folder, $"{name}-{++_folders}")).FullName;

    public static void Say(string what) => Console.WriteLine($"[{DateTimeOffset.UtcNow:HH:mm:ss}, load {Machine.Load}] {what}");

    /// <summary>A client program of the server's own version.</summary>
    public Run Tool(string tool, params string[] arguments) => new(ClientEnvironment, Path.Combine(Server.BinDirectory, tool), arguments);

    public async Task<double> ToolAsync(string tool, params string[] arguments)
    {
        await using var run = Tool(tool, arguments);
        return await run.EndAsync();
    }

    Dictionary<string, string> ClientEnvironment
    {
        get
        {
            var at = new NpgsqlConnectionStringBuilder(Server.ConnectionString());
            return new() { ["PGHOST"] = at.Host!, ["PGPORT"] = $"{at.Port}", ["PGUSER"] = at.Username!, ["PGOPTIONS"] = "" };
        }
    }

    /// <summary>What fills a database: one statement after the other on one connection, committed asynchronously, however long it takes.</summary>
    /// <returns>The last statement's first value.</returns>
    public async Task<object?> FillAsync(string database, params string[] statements)
    {
        await using var connection = new NpgsqlConnection(Server.ConnectionString(database) + ";Pooling=false;Command Timeout=0;Options=-c synchronous_commit=off");
        await connection.OpenAsync();
        object? value = null;
        foreach (var statement in statements)
        {
            await using var command = new NpgsqlCommand(statement, connection);
            value = await command.ExecuteScalarAsync();
        }
        return value;
    }

    public static string Sql(string name) => File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Sql", name));

    /// <summary>Measures rounds of things that are compared with one another, one after the other, in turns.</summary>
    public async Task RoundsAsync(Func<int, Task> round)
    {
        for (var i = 1; i <= Options.Samples; i++)
        {
            var others = new Others();
            await round(i);
            Say($"round {i} of {Options.Samples}: other processes used {others.Cores:0.00} of {Environment.ProcessorCount} cores");
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }
}
