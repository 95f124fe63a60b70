namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>What befalls a world, beside what the chances of <see cref="Faults"/> do: to the server, the broker, the vault's disk, and by people.</summary>
sealed class Troubles(World world, Programs programs, IReadOnlyList<Unit> units)
{
    WorldOptions Options => world.Options;

    Random Random => world.Random;

    /// <summary>What comes once, at some time.</summary>
    public void Plan()
    {
        if (Options.SecondWriter)
            Later(Second);
        if (Options.Prune)
            Later(PowerOff);
        if (Options.SlotLost)
            At(Options.Length.Ticks / 2, world.Server.LoseSlot);
        if (Options.SetBacks)
        {
            var copied = Random.NextInt64(Options.Length.Ticks / 2);
            var back = copied + Random.NextInt64(Options.Length.Ticks - copied);
            At(copied, world.Server.TakeCopy);
            At(back, () => world.Server.SetBack(withSlot: Options.Mutation != Mutation.ServerRunIgnored && Random.Next(3) > 0));
        }
    }

    /// <summary>What comes again and again.</summary>
    public void Begin()
    {
        Trouble();
        if (Options.Pruning)
            Prune();
    }

    void Later(Action action) => At(Random.NextInt64(Options.Length.Ticks), action);

    void At(long ticks, Action action) => world.Time.After(TimeSpan.FromTicks(ticks), () =>
    {
        if (world.FaultsOn)
            action();
    });

    /// <summary>On another machine somebody starts the same once more.</summary>
    void Second() =>
        new Unit(world, "second", world.Broker is null ? programs.RunAsync : programs.ArchiveAsync, elsewhere: true, restarts: false).Start();

    /// <summary>All machines are off for a day and an hour; then prune comes first.</summary>
    void PowerOff()
    {
        world.PowerCut();
        world.Time.Jump(TimeSpan.FromHours(25));
        new Unit(world, "prune", programs.PruneAsync, restarts: false).Start();
    }

    void Prune() => world.Time.After(TimeSpan.FromMilliseconds(Random.Next(50, 500)), () =>
    {
        if (!world.FaultsOn)
            return;
        new Unit(world, "prune", programs.PruneAsync, restarts: false).Start();
        Prune();
    });

    void Trouble() => world.Time.After(TimeSpan.FromMilliseconds(300), () =>
    {
        if (!world.FaultsOn)
            return;
        if (world.Happens(Options.Faults.Events))
            OneTrouble();
        Trouble();
    });

    void OneTrouble()
    {
        var (server, broker, platter) = (world.Server, world.Broker, world.Platter);
        var trouble = Random.Next(10);
        world.Trace.Add("world", "trouble", trouble, 0);
        switch (trouble)
        {
            case 0: server.CutAll(); break;
            case 1: server.Restart(); break;
            case 2 or 3 when broker is not null: broker.Break(); break;
            case 4 when broker is not null: broker.ForgetEverything(); break;
            case 5:
                platter.Full = true;
                world.Time.After(TimeSpan.FromMilliseconds(Random.Next(2000)), () => platter.Full = false);
                break;
            case 6: world.PowerCut(); break;
            case 7 when Options.Failovers: server.FailOver(Random.Next(4), slotSurvives: Random.Next(2) == 0); break;
            case 8 when Options.SlotTrouble: server.LoseSlot(); break;
            case 9 when Options.SlotTrouble: server.AdvanceSlot(); break;
            default:
                if (units[Random.Next(units.Count)].Process is { Alive: true } process)
                    process.Terminate();
                break;
        }
    }
}
