using CrmBackup.Cdc.EndToEnd;
using Npgsql;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>A physical backup of a server of ours, with its WAL archived as zst: what a whole cluster costs to keep and to bring back.</summary>
sealed class PgBackRest(string folder, PostgresServer server)
{
    static readonly string[] _asPostgres = Environment.UserName == "root" ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];

    string Configuration => Path.Combine(folder, "pgbackrest.conf");

    string Repository => Path.Combine(folder, "repo");

    /// <summary>What the server needs from its start; the configuration file comes later.</summary>
    public static Dictionary<string, string> Settings(string folder) => new()
    {
        ["archive_mode"] = "on",
        ["archive_command"] = $"test ! -f {folder}/pgbackrest.conf || pgbackrest --config={folder}/pgbackrest.conf --stanza=crm archive-push %p",
    };

    /// <summary>A full backup; WAL is archived from then on.</summary>
    public async Task BackUpAsync()
    {
        Directory.CreateDirectory(Repository);
        var at = new NpgsqlConnectionStringBuilder(server.ConnectionString());
        await File.WriteAllLinesAsync(Configuration,
        [
            "[global]", $"repo1-path={Repository}", $"log-path={folder}", $"lock-path={folder}/lock", $"spool-path={folder}/spool",
            "log-level-console=error", "compress-type=zst", "process-max=2", "start-fast=y", "repo1-retention-full=2",
            "[crm]", $"pg1-path={await server.ExecuteAsync("SHOW data_directory")}", $"pg1-port={at.Port}",
            $"pg1-socket-path={await server.ExecuteAsync("SHOW unix_socket_directories")}", "pg1-user=postgres",
        ]);
        await ChownAsync(folder);
        await RunAsync("stanza-create");
        await RunAsync("backup", "--type=full");
    }

    /// <summary>Everything written so far stands in the archive.</summary>
    public async Task ArchivedAsync()
    {
        var segment = (string)(await server.ExecuteAsync("SELECT pg_walfile_name(pg_switch_wal())"))!;
        await Eventually.TrueAsync(async () => string.CompareOrdinal(
            (await server.ExecuteAsync("SELECT last_archived_wal FROM pg_stat_archiver")) as string ?? "", segment) >= 0, TimeSpan.FromMinutes(10), "WAL to be archived");
    }

    /// <summary>Bytes of archived WAL.</summary>
    public long WalBytes => Directory.EnumerateFiles(Path.Combine(Repository, "archive"), "*.zst", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length);

    /// <summary>Restores the cluster, recovers it to a position, and waits until it is open for writing.</summary>
    /// <param name="check">Gets the recovered cluster's port.</param>
    /// <returns>The seconds it took.</returns>
    public async Task<double> RestoreAsync(string lsn, Func<int, Task> check)
    {
        var data = Path.Combine(folder, "restored");
        Directory.CreateDirectory(data);
        File.SetUnixFileMode(data, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        await ChownAsync(data);
        var port = Loopback.FreePort();
        var clock = System.Diagnostics.Stopwatch.StartNew();
        await RunAsync("restore", $"--pg1-path={data}", "--type=lsn", $"--target={lsn}", "--target-action=promote");
        string[] postgres = [.. _asPostgres, Path.Combine(server.BinDirectory, "postgres"), "-D", data, "-p", $"{port}",
            "-c", "listen_addresses=127.0.0.1", "-c", $"unix_socket_directories={folder}", "-c", "archive_mode=off"];
        await using var running = new Run(new Dictionary<string, string>(), postgres[0], postgres[1..]);
        await Eventually.TrueAsync(async () => await OpenAsync(port, running), TimeSpan.FromMinutes(10), "the recovered cluster to open");
        var seconds = clock.Elapsed.TotalSeconds;
        await check(port);
        await running.StopAsync();
        Directory.Delete(data, recursive: true);
        return seconds;
    }

    public static string Connection(int port, string database) => $"Host=127.0.0.1;Port={port};Username=postgres;Database={database};Pooling=false;Timeout=2;Command Timeout=0";

    static async Task<bool> OpenAsync(int port, Run running)
    {
        if (running.HasEnded)
            throw new InvalidOperationException($"the recovered cluster ended\n{running.Said}");
        try
        {
            await using var connection = new NpgsqlConnection(Connection(port, "postgres"));
            await connection.OpenAsync();
            await using var command = new NpgsqlCommand("SELECT NOT pg_is_in_recovery()", connection);
            return (bool)(await command.ExecuteScalarAsync())!;
        }
        catch (NpgsqlException)
        {
            // Not yet.
            return false;
        }
    }

    async Task RunAsync(string verb, params string[] options)
    {
        string[] command = [.. _asPostgres, "pgbackrest", $"--config={Configuration}", "--stanza=crm", verb, .. options];
        await using var run = new Run(new Dictionary<string, string>(), command[0], command[1..]);
        await run.EndAsync();
    }

    static async Task ChownAsync(string path)
    {
        if (_asPostgres.Length == 0)
            return;
        await using var run = new Run(new Dictionary<string, string>(), "/bin/chown", "-R", "postgres:postgres", path);
        await run.EndAsync();
    }
}
