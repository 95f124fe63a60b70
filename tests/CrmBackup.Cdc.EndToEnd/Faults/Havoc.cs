using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Ends (kill -9) and stops for a while (SIGSTOP) whoever takes part in a backup under load, at random: one seed, one sequence of
/// choices, but for what the machine decides. What was killed is started again at once, as systemd does.</summary>
/// <param name="elsewhere">A server that nothing is done to: what is restored meanwhile goes there.</param>
/// <param name="freezeMax">Nothing is stopped for longer.</param>
sealed class Havoc(
    Protected crm, PostgresServer source, RabbitServer? broker, PostgresServer elsewhere, Random random, TimeSpan freezeMax, ITestOutputHelper output)
{
    const string Source = "postgres", Walsender = "walsender", Broker = "rabbitmq";
    /// <summary>Said by capture, in whatever process, when it has begun.</summary>
    const string Begun = "[4001]";
    readonly SortedDictionary<string, int> _kinds = new(StringComparer.Ordinal);
    readonly Dictionary<string, (DateTime Until, Func<Task> ThawAsync)> _frozen = [];
    readonly List<string> _faults = [];

    string[] Verbs => broker is null ? ["run"] : ["capture", "archive", "worker"];

    /// <summary>Who settles.</summary>
    string Settler => broker is null ? "run" : "worker";

    /// <summary>Restored while others were killed, and compared.</summary>
    public int Compared { get; private set; }

    /// <summary>In words: whoever ended by itself, whatever was restored and differs.</summary>
    public IReadOnlyList<string> Faults => _faults;

    public string Kinds => string.Join(", ", _kinds.Select(kind => $"{kind.Key} {kind.Value}"));

    public bool SourceAnswers => !_frozen.ContainsKey(Source);

    public void Start()
    {
        foreach (var verb in Verbs)
            crm.StartVerb(verb);
    }

    /// <summary>One of them, after a while; returns when it is done, and what it was done to works again or is stopped until later.</summary>
    /// <param name="moments">What may be restored; empty: nothing yet.</param>
    public async Task OnceAsync(IReadOnlyList<TrueState> moments)
    {
        await Task.Delay(random.Next(200, 2500));
        await ThawAsync(all: false);
        await LookAsync();
        var choices = Choices(moments).ToList();
        var (kind, doAsync) = choices[random.Next(choices.Count)];
        _kinds[kind] = _kinds.GetValueOrDefault(kind) + 1;
        output.WriteLine($"{DateTime.UtcNow:HH:mm:ss.fff} {kind}{(_frozen.Count > 0 ? $" (stopped: {string.Join(", ", _frozen.Keys)})" : "")}");
        await doAsync();
    }

    /// <summary>Nobody is stopped any more, and everybody runs.</summary>
    public async Task CalmAsync()
    {
        await ThawAsync(all: true);
        await AnswersAsync();
        await LookAsync();
    }

    IEnumerable<(string Kind, Func<Task> DoAsync)> Choices(IReadOnlyList<TrueState> moments)
    {
        foreach (var verb in Verbs)
        {
            yield return ($"kill {verb}", () => KillAsync(verb));
            yield return ($"kill {verb}", () => KillAsync(verb));
            if (!_frozen.ContainsKey(verb))
                yield return ($"stop {verb}", () => FreezeAsync(verb, crm.Processes[verb].Freeze, crm.Processes[verb].Thaw));
        }
        yield return ($"kill settle", SettleAsync);
        yield return ($"kill {Source}", KillSourceAsync);
        if (SourceAnswers)
        {
            yield return ($"stop {Source}", () => FreezeAsync(Source, source.FreezeAsync, source.ThawAsync));
            // What the server's processes are called here is not what they are called in a container.
            if (!Containers.Available)
            {
                yield return ($"kill {Walsender}", () => WalsenderAsync(kill: true));
                if (!_frozen.ContainsKey(Walsender))
                    yield return ($"stop {Walsender}", () => WalsenderAsync(kill: false));
            }
        }
        if (broker is not null)
        {
            yield return ($"kill {Broker}", KillBrokerAsync);
            if (!_frozen.ContainsKey(Broker))
                yield return ($"stop {Broker}", () => FreezeAsync(Broker, broker.FreezeAsync, broker.ThawAsync));
        }
        if (moments.Count == 0)
            yield break;
        yield return ("kill restore", () => RestoreAsync(moments[random.Next(moments.Count)], kill: true));
        yield return ("stop restore", () => RestoreAsync(moments[random.Next(moments.Count)], kill: false));
    }

    async Task KillAsync(string verb)
    {
        _frozen.Remove(verb);
        await crm.Processes[verb].KillAloneAsync();
        crm.StartVerb(verb);
    }

    async Task KillSourceAsync()
    {
        _frozen.Remove(Source);
        _frozen.Remove(Walsender);
        await source.KillAsync();
        await source.StartAgainAsync();
    }

    async Task KillBrokerAsync()
    {
        _frozen.Remove(Broker);
        await broker!.KillAsync();
        await broker.StartAgainAsync();
    }

    /// <summary>The server ends all its sessions when one of its processes was killed, and recovers.</summary>
    async Task WalsenderAsync(bool kill)
    {
        if (await source.ExecuteAsync("SELECT pid FROM pg_stat_replication") is not int walsender)
            return;
        if (!kill)
        {
            await FreezeAsync(Walsender, () => Signals.Send(walsender, Signals.Stop), () => Signals.Send(walsender, Signals.Continue));
            return;
        }
        _frozen.Remove(Walsender);
        Signals.Send(walsender, Signals.Kill);
        await AnswersAsync();
    }

    /// <summary>Somebody asks to have all settled; who does it is killed in the middle, or before or after, and who asked, too.</summary>
    async Task SettleAsync()
    {
        await using var asking = Crmbackup.Start(new Dictionary<string, string>(), "settle", "--now", "--vault", crm.Vault);
        await Task.Delay(random.Next(500, 3000));
        await KillAsync(Settler);
    }

    async Task RestoreAsync(TrueState moment, bool kill)
    {
        await CalmAsync();
        await crm.WaitAsync(240);
        var name = $"havoc_{Guid.NewGuid():N}";
        await using (var restore = Crmbackup.Start(
            new Dictionary<string, string>(), "restore", "--vault", crm.Vault, "--to", $"lsn:{moment.Lsn}", "--target", elsewhere.ConnectionString(name)))
        {
            await Task.Delay(random.Next(500, 4000));
            if (kill)
                await restore.KillAloneAsync();
            else
            {
                restore.Freeze();
                await Task.Delay(freezeMax * random.NextDouble());
                restore.Thaw();
                var ended = await restore.EndAsync(TimeSpan.FromMinutes(5));
                var differences = ended.ExitCode == 0 ? (await TrueState.OfAsync(elsewhere.ConnectionString(name))).DifferencesFrom(moment)
                    : [$"restore ended with {ended.ExitCode}: {ended.Errors}"];
                Compared++;
                _faults.AddRange(differences.Select(difference => $"lsn:{moment.Lsn} meanwhile: {difference}"));
            }
        }
        await elsewhere.DropDatabaseAsync(name);
    }

    Task FreezeAsync(string who, Action freeze, Action thaw) => FreezeAsync(
        who, () => { freeze(); return Task.CompletedTask; }, () => { thaw(); return Task.CompletedTask; });

    async Task FreezeAsync(string who, Func<Task> freezeAsync, Func<Task> thawAsync)
    {
        await freezeAsync();
        _frozen[who] = (DateTime.UtcNow + freezeMax * random.NextDouble(), thawAsync);
    }

    async Task ThawAsync(bool all)
    {
        foreach (var (who, (until, thawAsync)) in _frozen.ToList())
            if (all || until <= DateTime.UtcNow)
            {
                _frozen.Remove(who);
                await thawAsync();
            }
    }

    Task AnswersAsync() => Eventually.TrueAsync(async () =>
    {
        try
        {
            await source.ExecuteAsync("SELECT 1");
            return true;
        }
        catch (Npgsql.NpgsqlException)
        {
            return false;
        }
    }, TimeSpan.FromSeconds(120), "PostgreSQL to answer");

    /// <summary>Whoever has ended was not killed: those are running again. Only one that began while the server did not answer may have, as
    /// systemd then starts it again.</summary>
    async Task LookAsync()
    {
        foreach (var verb in Verbs)
            if (crm.Processes[verb] is { HasEnded: true } ended)
            {
                var result = await ended.EndAsync(TimeSpan.FromSeconds(10));
                crm.StartVerb(verb);
                if (result.ExitCode == 1 && result.Errors.Contains("PostgreSQL at", StringComparison.Ordinal) && !result.Errors.Contains(Begun, StringComparison.Ordinal))
                    continue;
                _faults.Add($"{verb} ended with {result.ExitCode} by itself: {string.Join(" | ", result.Errors.TrimEnd().Split('\n').TakeLast(4))}");
                output.WriteLine($"{DateTime.UtcNow:HH:mm:ss.fff} {_faults[^1]}");
            }
    }
}
