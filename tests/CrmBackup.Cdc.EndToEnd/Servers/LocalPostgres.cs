namespace CrmBackup.Cdc.EndToEnd;

sealed class LocalPostgres : PostgresServer
{
    /// <summary>PostgreSQL refuses to run as root.</summary>
    static readonly string[] _asPostgres = Environment.UserName == "root"
        ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : [];
    readonly string _home = Directory.CreateTempSubdirectory("crmbackup-postgres-").FullName;
    readonly IReadOnlyDictionary<string, string> _settings;
    ServerProcess? _process;

    public LocalPostgres(IReadOnlyDictionary<string, string> settings, string? major, string? binDirectory = null)
    {
        _settings = settings;
        BinDirectory = binDirectory ?? Installed(major);
    }

    public override string BinDirectory { get; }
    string Data => Path.Combine(_home, "data");
    string Log => Path.Combine(_home, "log");

    /// <summary>The folder that <c>CRMBACKUP_TESTS_POSTGRES</c> names, else that of the newest installed major, or of the one asked for.</summary>
    public static string Installed(string? major)
    {
        if (major is null && Environment.GetEnvironmentVariable("CRMBACKUP_TESTS_POSTGRES") is { Length: > 0 } chosen)
            return chosen;
        const string root = "/usr/lib/postgresql";
        var folders = Directory.Exists(root) ? Directory.GetDirectories(root) : [];
        return folders
            .Where(folder => File.Exists(Path.Combine(folder, "bin", "postgres")))
            .Where(folder => major is null || Path.GetFileName(folder) == major)
            .OrderByDescending(folder => int.TryParse(Path.GetFileName(folder), out var number) ? number : 0)
            .Select(folder => Path.Combine(folder, "bin"))
            .FirstOrDefault() ?? throw new InvalidOperationException(
                $"PostgreSQL {major} is not installed under {root} and no Docker daemon answers: apt-get install postgresql{(major is null ? "" : $"-{major}")}");
    }

    /// <summary>A folder of programs of a newer major; null when there is none.</summary>
    public static async Task<string?> NewerThanAsync(int major)
    {
        if (Environment.GetEnvironmentVariable("CRMBACKUP_TESTS_NEWER") is { Length: > 0 } given)
            return major < int.Parse((await Command.RunAsync(Path.Combine(given, "postgres"), "--version")).Split(' ')[2].Split('.')[0]) ? given : null;
        var folder = Installed(null);
        return int.TryParse(Path.GetFileName(Path.GetDirectoryName(folder)), out var installed) && installed > major ? folder : null;
    }

    public override async Task StartAgainAsync()
    {
        if (!Directory.Exists(Data))
            await CreateAsync();
        _process = await ServerProcess.StartAsync(_home, Log, [
            .. _asPostgres, Path.Combine(BinDirectory, "postgres"), "-D", Data,
            "-c", "listen_addresses=127.0.0.1", "-p", $"{Port}", "-c", $"unix_socket_directories={_home}"]);
        await AnswersAsync(() => _process.Runs);
    }

    public override async Task<PostgresServer> StandbyAsync()
    {
        var standby = new LocalPostgres(_settings, major: null);
        if (_asPostgres.Length > 0)
            await Command.RunAsync("chown", "postgres:postgres", standby._home);
        await Command.RunAsync([
            .. _asPostgres, Path.Combine(BinDirectory, "pg_basebackup"), "-h", "127.0.0.1", "-p", $"{Port}", "-U", "postgres", "-D", standby.Data,
            "-X", "stream", "-c", "fast", "--no-sync"]);
        // A newer pg_basebackup would write settings that this server does not know.
        await File.AppendAllTextAsync(Path.Combine(standby.Data, "postgresql.auto.conf"), $"primary_conninfo = 'host=127.0.0.1 port={Port} user=postgres'\n");
        await Command.RunAsync([.. _asPostgres, "touch", Path.Combine(standby.Data, "standby.signal")]);
        await standby.StartAgainAsync();
        return standby;
    }

    public override async Task<PostgresServer?> UpgradedAsync()
    {
        var program = Path.Combine(BinDirectory, "pg_upgrade");
        if (!File.Exists(program))
            return null;
        var next = new LocalPostgres(_settings, major: null, BinDirectory);
        await next.CreateAsync();
        // Its sockets and notes go into the current folder.
        await Command.RunAsync(["env", "-C", next._home, .. _asPostgres, program, "-U", "postgres", "-b", BinDirectory, "-B", BinDirectory,
            "-d", Data, "-D", next.Data, "-p", $"{Port}", "-P", $"{next.Port}"]);
        await next.StartAgainAsync();
        return next;
    }

    public override async Task<string> CopyFilesAsync()
    {
        var copy = Path.Combine(_home, "copy");
        await Command.RunAsync("cp", "-a", Data, copy);
        return copy;
    }

    public override async Task SetBackAsync(string copy)
    {
        Directory.Delete(Data, recursive: true);
        await Command.RunAsync("cp", "-a", copy, Data);
    }

    async Task CreateAsync()
    {
        if (_asPostgres.Length > 0)
            await Command.RunAsync("chown", "postgres:postgres", _home);
        await Command.RunAsync([
            .. _asPostgres, Path.Combine(BinDirectory, "initdb"), "-D", Data, "--username=postgres", "--auth=trust",
            "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
        // Not on the command line: there they would win over what a test sets by ALTER SYSTEM.
        await File.AppendAllLinesAsync(Path.Combine(Data, "postgresql.conf"),
            _settings.Select(setting => $"{setting.Key} = '{setting.Value.Replace("'", "''")}'"));
    }

    public override async Task KillAsync()
    {
        await _process!.KillAsync();
        _process = null;
    }

    public override Task FreezeAsync()
    {
        _process!.SignalAll(Signals.Stop);
        return Task.CompletedTask;
    }

    public override Task ThawAsync()
    {
        _process!.SignalAll(Signals.Continue);
        return Task.CompletedTask;
    }

    public override async Task StopAsync()
    {
        await _process!.StopAsync(signal: 2);
        _process = null;
    }

    public override async Task<string> LogTailAsync() =>
        File.Exists(Log) ? string.Join('\n', (await File.ReadAllLinesAsync(Log)).TakeLast(60)) : "";

    public override async ValueTask DisposeAsync()
    {
        if (_process is not null)
            await KillAsync();
        Directory.Delete(_home, recursive: true);
    }
}
