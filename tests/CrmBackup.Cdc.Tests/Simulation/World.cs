using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>A source, a disk, perhaps a broker, and the product's own code between them, all on this thread, driven by one seed.</summary>
sealed class World
{
    const long TurnsMax = 300_000;
    static readonly TimeSpan _patience = TimeSpan.FromSeconds(120);
    static readonly AsyncLocal<World?> _here = new(Left);
    readonly List<Unit> _units = [];
    readonly int _thread = Environment.CurrentManagedThreadId;
    string? _escaped;
    long _turns, _asked;
    Exception? _violation;
    int _depth;
    long _healedAt;

    public World(int seed, Mutation mutation = Mutation.None)
    {
        Seed = seed;
        Random = new Random(seed);
        Options = WorldOptions.Draw(Random, mutation).DrawMore(new Random(~seed), new Random(seed ^ 0x5EED));
        Trace = new Trace(this);
        Server = new SimulatedServer(this);
        Crm = new SimulatedCrm(this);
        Broker = Options.Broker ? new FaultyBroker(this) : null;
        Witness = new Witness(this);
    }

    public int Seed { get; }
    public Random Random { get; }
    public WorldOptions Options { get; }
    public VirtualTime Time { get; } = new();
    public Trace Trace { get; }
    public Platter Platter { get; } = new();
    public SimulatedServer Server { get; }
    public SimulatedCrm Crm { get; }
    public FaultyBroker? Broker { get; }
    public Witness Witness { get; }

    public bool FaultsOn { get; private set; }

    public long Steps { get; private set; }

    /// <summary>That repairs by difference took from the past.</summary>
    public long EqualRanges { get; set; }

    /// <summary>For the mutation that goes by block numbers.</summary>
    public ulong HighestBlock { get; set; }

    /// <exception cref="ViolationException">A promise was broken; says the seed and what happened last.</exception>
    public void Run()
    {
        _here.Value = this;
        try
        {
            Prepare();
            FaultsOn = true;
            RunUntil(Time.Now + Options.Length.Ticks, () => false);
            Heal();
            Witness.CompareCovered(positions: 2);
            Witness.CompareLatest();
        }
        catch (Exception failure)
        {
            throw new ViolationException(
                $"seed {Seed} ({Options.Mutation}): {(failure is ViolationException ? failure.Message : failure)}\n{Options}\n{string.Join('\n', Trace.Last())}", failure);
        }
        finally
        {
            foreach (var unit in _units)
                unit.Process?.Kill();
            _here.Value = null;
        }
    }

    void Prepare()
    {
        Platter.MakeFolder($"{Platter.Root}/tmp");
        Platter.SyncFolder(Platter.Root);
        Crm.CreateTables(Options.FirstRows);
        if (Options.SlowStandby)
            Crm.LeaveUnseen();
        Server.MakeSlot();
        Server.RecordIncarnation();
        var init = new SimulatedProcess(this, "init");
        init.Start(() => BackupVault.CreateAsync(Medium(init), TemporaryVault.Identity, CancellationToken.None), failure => Ended(init, failure));
        Witness.Open();
        var programs = new Programs(this);
        if (Broker is null)
            _units.Add(new Unit(this, "run", programs.RunAsync));
        else
            _units.AddRange([new Unit(this, "capture", programs.CaptureAsync), new Unit(this, "archive", programs.ArchiveAsync)]);
        var troubles = new Troubles(this, programs, _units);
        troubles.Plan();
        foreach (var unit in _units)
            unit.Start();
        CrmWorks();
        troubles.Begin();
        ServerWorks();
    }

    void CrmWorks() => Time.After(TimeSpan.FromMilliseconds(Random.Next(1, 80)), () =>
    {
        if (!FaultsOn && _healedAt > 0)
            return;
        Crm.Step();
        CrmWorks();
    });

    /// <summary>The server's own records of what runs.</summary>
    void ServerWorks() => Time.After(TimeSpan.FromSeconds(1), () =>
    {
        Server.NoteRunning();
        ServerWorks();
    });

    public int PowerCuts { get; private set; }

    public void PowerCut()
    {
        PowerCuts++;
        Trace.Add("world", "power cut", 0, 0);
        foreach (var unit in _units)
            if (unit.Name != "capture")
                unit.Process?.Kill();
        Platter.PowerCut(Random);
        Witness.AfterPowerCut();
    }

    void Heal()
    {
        FaultsOn = false;
        Platter.Full = false;
        _healedAt = Time.Now;
        Trace.Add("world", "heal", 0, 0);
        Crm.Quiesce();
        Server.PassOtherHistories();
        var until = Time.Now + _patience.Ticks;
        var next = 0L;
        if (!RunUntil(until, IsHealed))
            throw new ViolationException($"not healed after {_patience}: the source is at {Server.Branch.Timeline} {Server.Written}, confirmed {Server.Confirmed}; {Witness.Describe()}");

        bool IsHealed()
        {
            if (Time.Now < next)
                return false;
            next = Time.Now + TimeSpan.TicksPerSecond / 5;
            return Witness.IsCaughtUp();
        }
    }

    bool RunUntil(long limit, Func<bool> done)
    {
        while (!done())
        {
            if (Steps + ++_turns > TurnsMax)
                throw new ViolationException($"it goes on and on: {Steps} steps, {_turns} turns");
            if (_violation is not null)
                throw _violation;
            if (_escaped is not null)
                throw new ViolationException($"something left the simulator's thread: {_escaped}");
            if (!RunSomething(null) && !Time.FireNext(limit))
                return false;
        }
        return true;
    }

    /// <summary>One continuation of one process, chosen by the seed.</summary>
    bool RunSomething(SimulatedProcess? notThis)
    {
        var runnable = 0;
        foreach (var process in Alive())
            runnable += process == notThis ? 0 : process.Runnable;
        if (runnable == 0)
            return false;
        Steps++;
        _asked = 0;
        var chosen = Random.Next(runnable);
        foreach (var process in Alive())
        {
            if (process == notThis)
                continue;
            if (chosen < process.Runnable)
            {
                if (Happens(Options.Faults.Kill))
                    process.Kill();
                else
                    process.RunOne(chosen);
                return true;
            }
            chosen -= process.Runnable;
        }
        return false;
    }

    readonly List<SimulatedProcess> _alive = [];

    List<SimulatedProcess> Alive()
    {
        _alive.RemoveAll(process => !process.Alive);
        return _alive;
    }

    public void Began(SimulatedProcess process) => _alive.Add(process);

    /// <summary>Between any two system calls a process may end, the power may go, and others may be faster.</summary>
    public void SystemCall(SimulatedProcess process)
    {
        if (Happens(Options.Faults.Kill))
            process.Kill();
        else if (_depth == 0 && Happens(Options.Faults.PowerCut))
            PowerCut();
        else if (_depth == 0 && Happens(Options.Faults.SlowCall))
            Wait(process, TimeSpan.FromMilliseconds(Random.Next(1, 2000)));
        if (_depth > 0 || !process.Alive || !Happens(Options.Faults.Preempt))
            return;
        _depth++;
        for (var i = Random.Next(1, 40); i > 0 && RunSomething(process); i--)
        {
        }
        _depth--;
    }

    /// <summary>The process hangs in a call; the world goes on.</summary>
    void Wait(SimulatedProcess process, TimeSpan length)
    {
        _depth++;
        var until = Time.Now + length.Ticks;
        while (process.Alive && _violation is null && Steps + ++_turns <= TurnsMax && (RunSomething(process) || Time.FireNext(until)))
        {
        }
        _depth--;
    }

    /// <summary>A round trip over a network: at once, soon, or after a while.</summary>
    public async Task Network(SimulatedProcess process, CancellationToken stop)
    {
        process.MustLive();
        switch (Random.Next(4))
        {
            case 0: break;
            case 1: await Task.Yield(); break;
            default: await Task.Delay(TimeSpan.FromMilliseconds(Random.Next(1, 40)), process.Clock, stop); break;
        }
        process.MustLive();
    }

    /// <summary>Code that asks without end and waits for nothing would hang the world.</summary>
    public void Asked()
    {
        if (++_asked > TurnsMax)
            throw new ViolationException($"a loop that waits for nothing: {Environment.StackTrace}");
    }

    public bool Happens(double chance) => FaultsOn && chance > 0 && Random.NextDouble() < chance;

    public Guid NewGuid()
    {
        var bytes = new byte[16];
        Random.NextBytes(bytes);
        return new Guid(bytes);
    }

    public void Flip(Platter.Node node)
    {
        var bytes = node.Content;
        bytes[Random.Next(bytes.Length)] ^= (byte)(1 << Random.Next(8));
        node.Bytes = bytes;
    }

    public DirectoryMedium Medium(SimulatedProcess process) => new(Platter.Root, new FaultyDisk(this, process));

    /// <summary>Which ends are understood: those that a supervisor answers by starting the process again.</summary>
    public void Ended(SimulatedProcess process, Exception? failure)
    {
        Trace.Add(process.Name, failure?.GetType().Name ?? "returned", failure?.Message.Length ?? 0, 0);
        if (failure is not (null or RefusedException or MediumException or IOException or OperationCanceledException))
            _violation ??= new ViolationException($"{process.Name} ended: {failure}", failure);
    }

    public void MustBeHere()
    {
        if (Environment.CurrentManagedThreadId != _thread)
            _escaped ??= Environment.StackTrace;
    }

    /// <summary>Continuations that leave the thread take the world with them: that is how they are found.</summary>
    static void Left(AsyncLocalValueChangedArgs<World?> args)
    {
        if (args.CurrentValue is { } world)
            world.MustBeHere();
    }
}
