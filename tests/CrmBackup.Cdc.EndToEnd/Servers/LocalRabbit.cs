namespace CrmBackup.Cdc.EndToEnd;

sealed class LocalRabbit(IReadOnlyDictionary<string, string> settings, string? definitions) : RabbitServer
{
    readonly string _home = Directory.CreateTempSubdirectory("crmbackup-rabbit-").FullName;
    readonly string _node = $"crmbackup{Guid.NewGuid().ToString("N")[..8]}@localhost";
    readonly int _namesPort = Loopback.FreePort();
    readonly int _distributionPort = Loopback.FreePort();
    ServerProcess? _names;
    ServerProcess? _broker;

    string Log => Path.Combine(_home, "log");

    public override async Task StartAgainAsync()
    {
        const string program = "/usr/lib/rabbitmq/bin/rabbitmq-server";
        if (!File.Exists(program))
            throw new InvalidOperationException(
                $"{program} is not there and no Docker daemon answers: apt-get install rabbitmq-server");
        if (_names is null)
            await ConfigureAsync();
        // The name server is started here and not by the node, which would leave it running for ever, on all interfaces.
        _names ??= await ServerProcess.StartAsync(_home, Log, ["epmd", "-port", $"{_namesPort}", "-address", "127.0.0.1"]);
        _broker = await ServerProcess.StartAsync(_home, Log, [program], new Dictionary<string, string>
        {
            ["HOME"] = _home,
            ["RABBITMQ_CONF_ENV_FILE"] = Path.Combine(_home, "env.conf"),
            ["RABBITMQ_CONFIG_FILE"] = Path.Combine(_home, "rabbitmq.conf"),
            ["RABBITMQ_ENABLED_PLUGINS_FILE"] = Path.Combine(_home, "plugins"),
            ["RABBITMQ_MNESIA_BASE"] = Path.Combine(_home, "mnesia"),
            ["RABBITMQ_LOG_BASE"] = _home,
            ["RABBITMQ_LOGS"] = "-",
            ["RABBITMQ_NODENAME"] = _node,
            ["RABBITMQ_DIST_PORT"] = $"{_distributionPort}",
            ["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = "-kernel inet_dist_use_interface {127,0,0,1}",
            ["ERL_EPMD_PORT"] = $"{_namesPort}",
            ["ERL_EPMD_ADDRESS"] = "127.0.0.1",
        });
        await AnswersAsync(() => _broker.Runs);
    }

    async Task ConfigureAsync()
    {
        await File.WriteAllTextAsync(Path.Combine(_home, "env.conf"), "");
        await File.WriteAllTextAsync(Path.Combine(_home, "plugins"), "[].\n");
        var all = new Dictionary<string, string>
        {
            ["listeners.tcp.local"] = $"127.0.0.1:{Port}",
            ["default_user"] = "crmbackup",
            ["default_pass"] = Password,
            ["disk_free_limit.absolute"] = "64MB",
            ["log.file"] = "false",
            ["log.console"] = "true",
        };
        if (definitions is not null)
            all["load_definitions"] = definitions;
        foreach (var (name, value) in settings)
            all[name] = value;
        await File.WriteAllLinesAsync(Path.Combine(_home, "rabbitmq.conf"), all.Select(line => $"{line.Key} = {line.Value}"));
    }

    public override async Task KillAsync()
    {
        await _broker!.KillAsync();
        _broker = null;
    }

    public override Task FreezeAsync()
    {
        _broker!.SignalAll(Signals.Stop);
        return Task.CompletedTask;
    }

    public override Task ThawAsync()
    {
        _broker!.SignalAll(Signals.Continue);
        return Task.CompletedTask;
    }

    public override async Task StopAsync()
    {
        await _broker!.StopAsync(Signals.Terminate);
        _broker = null;
    }

    public override async Task<string> LogTailAsync() =>
        File.Exists(Log) ? string.Join('\n', (await File.ReadAllLinesAsync(Log)).TakeLast(60)) : "";

    public override async ValueTask DisposeAsync()
    {
        if (_broker is not null)
            await KillAsync();
        if (_names is not null)
            await _names.KillAsync();
        Directory.Delete(_home, recursive: true);
    }
}
