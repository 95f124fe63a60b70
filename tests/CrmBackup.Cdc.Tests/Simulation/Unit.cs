namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>A service under a supervisor, which starts its process again when it ends.</summary>
sealed class Unit(World world, string name, Func<SimulatedProcess, Task> program, bool elsewhere = false, bool restarts = true)
{
    int _starts;

    public string Name => name;

    public SimulatedProcess? Process { get; private set; }

    public void Start()
    {
        if (Process is { Alive: true })
            return;
        var process = Process = new SimulatedProcess(world, $"{name} {++_starts}", elsewhere);
        process.Died += () =>
        {
            world.Trace.Add(process.Name, "ended", 0, 0);
            if (restarts)
                world.Time.After(TimeSpan.FromMilliseconds(world.Random.Next(20, 1500)), Start);
        };
        world.Trace.Add(process.Name, "started", 0, 0);
        process.Start(() => program(process), failure => world.Ended(process, failure));
    }
}
