namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>The process was killed inside this call. Nothing that it still does reaches anything.</summary>
sealed class KilledException() : Exception("killed");

/// <summary>One operating system process: its continuations wait here until the world chooses one. Everything runs on the world's thread.</summary>
sealed class SimulatedProcess : SynchronizationContext
{
    readonly World _world;
    readonly List<(SendOrPostCallback Callback, object? State)> _runnable = [];
    readonly CancellationTokenSource _stopping = new();

    /// <param name="elsewhere">On a machine that does not share the vault's locks.</param>
    public SimulatedProcess(World world, string name, bool elsewhere = false)
    {
        (_world, Name, Elsewhere) = (world, name, elsewhere);
        Clock = new VirtualTime.Clock(world, this);
        world.Began(this);
    }

    public string Name { get; }

    public bool Elsewhere { get; }

    public TimeProvider Clock { get; }

    public bool Alive { get; private set; } = true;

    public int Runnable => _runnable.Count;

    public CancellationToken Stop => _stopping.Token;

    /// <summary>Its files, connections and locks are let go of.</summary>
    public event Action? Died;

    /// <param name="ended">Called once when the program returns or fails; not when it is killed.</param>
    public void Start(Func<Task> program, Action<Exception?> ended) => Run(async _ =>
    {
        Exception? failure = null;
        try
        {
            await program();
        }
        catch (Exception caught)
        {
            failure = caught;
        }
        if (!Alive)
            return;
        Kill();
        ended(failure);
    }, null);

    public void Kill()
    {
        if (!Alive)
            return;
        Alive = false;
        _runnable.Clear();
        Died?.Invoke();
    }

    /// <summary>SIGTERM.</summary>
    public void Terminate() => Run(_ => _stopping.Cancel(), null);

    public void MustLive()
    {
        _world.Asked();
        if (!Alive)
            throw new KilledException();
    }

    public void RunOne(int index)
    {
        var (callback, state) = _runnable[index];
        _runnable.RemoveAt(index);
        Run(new TimerCallback(callback), state);
    }

    public void Run(TimerCallback callback, object? state)
    {
        var before = Current;
        SetSynchronizationContext(this);
        try
        {
            callback(state);
        }
        finally
        {
            SetSynchronizationContext(before);
        }
    }

    public override void Post(SendOrPostCallback d, object? state)
    {
        _world.MustBeHere();
        if (Alive)
            _runnable.Add((d, state));
    }

    public override void Send(SendOrPostCallback d, object? state) => d(state);

    public override SynchronizationContext CreateCopy() => this;
}
