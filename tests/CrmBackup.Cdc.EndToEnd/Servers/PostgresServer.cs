using Npgsql;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A PostgreSQL of the tests' own, ready for logical decoding: in a container when a Docker daemon answers, else from locally
/// installed binaries in a temporary folder. Listens on the loopback interface only.</summary>
public abstract class PostgresServer : IAsyncDisposable
{
    protected int Port { get; } = Loopback.FreePort();

    /// <summary>Where the client programs (<c>pg_dump</c>, <c>pgbench</c>, <c>psql</c>) of the server's major or newer are.</summary>
    public abstract string BinDirectory { get; }

    /// <param name="settings">Server settings, over the tests' defaults.</param>
    /// <param name="major">For example "15"; the newest installed one when null.</param>
    public static async Task<PostgresServer> StartAsync(IReadOnlyDictionary<string, string>? settings = null, string? major = null)
    {
        var all = new Dictionary<string, string>
        {
            ["wal_level"] = "logical",
            // The tests kill servers, not the machine: what a server wrote, the operating system has.
            ["fsync"] = "off",
            ["max_replication_slots"] = "32",
            ["max_wal_senders"] = "32",
            ["max_prepared_transactions"] = "16",
            ["max_connections"] = "120",
            ["log_line_prefix"] = "%m [%p] %d ",
        };
        foreach (var (name, value) in settings ?? new Dictionary<string, string>())
            all[name] = value;
        PostgresServer server = Containers.Available ? new ContainerPostgres(all, major) : new LocalPostgres(all, major);
        await server.StartAgainAsync();
        return server;
    }

    /// <summary>A server of a newer major: from the folder that <c>CRMBACKUP_TESTS_NEWER</c> names, else the newest installed one, else, with Docker,
    /// the newest there is. Null when none is newer.</summary>
    public static async Task<PostgresServer?> StartNewerAsync(int than)
    {
        if (Containers.Available)
            return than < Newest ? await StartAsync(major: $"{Newest}") : null;
        if (await LocalPostgres.NewerThanAsync(than) is not { } folder)
            return null;
        var server = new LocalPostgres(new Dictionary<string, string> { ["wal_level"] = "logical" }, null, folder);
        await server.StartAgainAsync();
        return server;
    }

    const int Newest = 18;

    public string ConnectionString(string database = "postgres") =>
        $"Host=127.0.0.1;Port={Port};Username=postgres;Database={database};Timeout=15;Include Error Detail=true";

    /// <summary>An empty database that no other test uses; returns its name.</summary>
    public async Task<string> CreateDatabaseAsync(string prefix = "test", string options = "")
    {
        var name = $"{prefix}_{Guid.NewGuid().ToString("N")[..8]}";
        await ExecuteAsync($"CREATE DATABASE \"{name}\" TEMPLATE template0 {options}");
        return name;
    }

    /// <summary>Ends the database's connections and drops its slots first.</summary>
    public async Task DropDatabaseAsync(string name)
    {
        await ExecuteAsync($"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '{name}' AND active");
        await Eventually.TrueAsync(async () => (long)(await ExecuteAsync(
            $"SELECT count(*) FROM pg_replication_slots WHERE database = '{name}' AND active"))! == 0,
            TimeSpan.FromSeconds(30), $"the slots of {name} to be free");
        await ExecuteAsync($"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'");
        await ExecuteAsync($"DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
    }

    /// <summary>As superuser; returns the first column of the first row.</summary>
    public async Task<object?> ExecuteAsync(string sql, string database = "postgres")
    {
        await using var connection = new NpgsqlConnection(ConnectionString(database) + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync();
    }

    /// <summary>A streaming standby of this server, running.</summary>
    public virtual Task<PostgresServer> StandbyAsync() => throw new NotSupportedException("only a local server has a standby");

    /// <summary>What pg_upgrade makes of the stopped server, running: its databases in another cluster. Null where there is no pg_upgrade.</summary>
    public virtual Task<PostgresServer?> UpgradedAsync() => throw new NotSupportedException("only a local server is upgraded");

    /// <summary>A copy of the stopped server's files.</summary>
    public virtual Task<string> CopyFilesAsync() => throw new NotSupportedException("only a local server's files are at hand");

    /// <summary>The stopped server is what it was when the copy was made.</summary>
    public virtual Task SetBackAsync(string copy) => throw new NotSupportedException("only a local server's files are at hand");

    /// <summary>SIGKILL, to the server and all its backends.</summary>
    public abstract Task KillAsync();

    /// <summary>SIGSTOP, to the server and all its backends: connections stay, nothing answers until <see cref="ThawAsync"/>.</summary>
    public abstract Task FreezeAsync();

    public abstract Task ThawAsync();

    /// <summary>A fast shutdown: connections are ended, everything is flushed.</summary>
    public abstract Task StopAsync();

    /// <summary>Starts the stopped or killed server on the same data and port; returns when it answers.</summary>
    public abstract Task StartAgainAsync();

    /// <summary>The last lines of the server's log.</summary>
    public abstract Task<string> LogTailAsync();

    public abstract ValueTask DisposeAsync();

    /// <param name="runs">False when there is nothing left to wait for.</param>
    protected async Task AnswersAsync(Func<bool> runs)
    {
        await Eventually.TrueAsync(async () =>
        {
            try
            {
                await ExecuteAsync("SELECT 1");
                return true;
            }
            catch (NpgsqlException failure) when (failure is not PostgresException { IsTransient: false })
            {
                return runs() ? false
                    : throw new InvalidOperationException($"PostgreSQL ended while starting:\n{await LogTailAsync()}", failure);
            }
        }, TimeSpan.FromSeconds(60), "PostgreSQL to answer");
    }
}
