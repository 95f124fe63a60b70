using CrmBackup.Cdc.Engine;
using Npgsql;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>How often what goes wrong: each a chance at the places where it can.</summary>
sealed record Faults
{
    public double Kill { get; init; }
    public double PowerCut { get; init; }
    public double Preempt { get; init; }
    public double SyncFails { get; init; }
    public double LinkUnknown { get; init; }
    public double BitFlip { get; init; }
    public double BrokerDuplicates { get; init; }
    public double RequestLost { get; init; }
    /// <summary>A system call that takes up to two seconds.</summary>
    public double SlowCall { get; init; }
    /// <summary>Of each event below, per second.</summary>
    public double Events { get; init; }
}

/// <summary>What a world is like. A seed draws it, so that some worlds are calm in one way and wild in another.</summary>
sealed record WorldOptions
{
    public Mutation Mutation { get; init; }
    public bool Broker { get; init; }
    public bool LinksRefused { get; init; }
    public bool Settle { get; init; }
    public bool Ddl { get; init; }
    public bool SecondWriter { get; init; }
    public bool Prune { get; init; }
    public bool Failovers { get; init; }
    public bool SlotTrouble { get; init; }
    /// <summary>An older copy of the server's files is put in their place.</summary>
    public bool SetBacks { get; init; }
    /// <summary>The CRM waits long for a synchronous standby: what has committed is not seen for long, also while the slot is made.</summary>
    public bool SlowStandby { get; init; }
    /// <summary>Prune runs beside the archive, again and again.</summary>
    public bool Pruning { get; init; }
    /// <summary>The slot is lost once, whatever else befalls.</summary>
    public bool SlotLost { get; init; }
    public int FirstRows { get; init; }
    public TimeSpan Length { get; init; }
    public Faults Faults { get; init; } = new();
    public ArchiveOptions Archive { get; init; } = new();
    public CaptureOptions Capture { get; init; } = null!;

    public static WorldOptions Draw(Random random, Mutation mutation)
    {
        bool Some(int of) => random.Next(of) == 0;
        double Rate(int of, double rate) => Some(of) ? rate * (0.3 + random.NextDouble()) : 0;
        return new WorldOptions
        {
            Mutation = mutation,
            Broker = Some(2),
            LinksRefused = Some(6),
            Settle = Some(6),
            Ddl = Some(4),
            SecondWriter = Some(6),
            Prune = Some(10),
            Failovers = Some(4),
            SlotTrouble = Some(4),
            FirstRows = Some(2) ? random.Next(8) : 0,
            Length = TimeSpan.FromSeconds(2 + random.Next(5)),
            Faults = new Faults
            {
                Kill = Rate(2, 0.002),
                PowerCut = Rate(3, 0.002),
                Preempt = Rate(2, 0.1),
                SyncFails = Rate(8, 0.01),
                LinkUnknown = Rate(4, 0.1),
                BitFlip = Rate(2, 0.2),
                BrokerDuplicates = Rate(2, 0.1),
                RequestLost = Rate(3, 0.1),
                Events = Rate(2, 0.3),
            },
            Archive = new ArchiveOptions
            {
                Flush = TimeSpan.FromMilliseconds(random.Next(100, 1500)),
                FlushBytes = Some(4) ? 500 : 1 << 20,
                Idle = TimeSpan.FromSeconds(1),
                Ask = TimeSpan.FromSeconds(1),
                BaseChunkPages = random.Next(1, 6),
                OrderRetry = TimeSpan.FromMilliseconds(200),
                AnswerPatience = TimeSpan.FromSeconds(3),
                SchemaQuiet = TimeSpan.FromMilliseconds(100),
            },
            Capture = new CaptureOptions
            {
                Source = new NpgsqlConnectionStringBuilder(),
                BlockBytes = random.Next(100, 3000),
                Idle = TimeSpan.FromSeconds(1),
                SequenceEvery = TimeSpan.FromMilliseconds(300),
                BaseWorkers = random.Next(1, 3),
                RetryMax = TimeSpan.FromSeconds(1),
            },
        };
    }

    /// <param name="random">Of its own: a world with nothing of this does what it did before there was any of it.</param>
    /// <param name="repairs">The same again.</param>
    public WorldOptions DrawMore(Random random, Random repairs)
    {
        bool Some(int of) => random.Next(of) == 0;
        // A mutation is looked for where it always was.
        var repairing = Mutation == Mutation.None && repairs.Next(3) == 0;
        return Provoking(Mutation, this with
        {
            SlotLost = repairing && repairs.Next(2) == 0,
            SetBacks = Some(6),
            SlowStandby = Some(6),
            Pruning = Some(10),
            Faults = Faults with { SlowCall = Some(6) ? 0.01 * random.NextDouble() : 0 },
            Archive = repairing ? Repairing(Archive, repairs) : Archive,
        });
    }

    /// <summary>However small: every table with a key that the vault has known.</summary>
    static ArchiveOptions Repairing(ArchiveOptions archive, Random random) => archive with
    {
        RepairBytesMin = 0,
        RepairRangeRows = random.Next(1, 4),
        RepairPartRows = random.Next(1, 8),
    };

    /// <summary>A mutation shows where its rule matters: there it is looked for.</summary>
    static WorldOptions Provoking(Mutation mutation, WorldOptions drawn)
    {
        var faults = drawn.Faults;
        return mutation switch
        {
            Mutation.CreateByCheckThenRename => drawn with { SecondWriter = true, LinksRefused = false, Faults = faults with { Preempt = 0.3 } },
            Mutation.TornCommitAccepted => drawn with { LinksRefused = true, Faults = faults with { PowerCut = 0.01 } },
            Mutation.SettleRemovesBeforeCheck => drawn with { Settle = true, Faults = faults with { BitFlip = 0.3, Kill = 0.005 } },
            Mutation.PruneWithoutGrace => drawn with { Pruning = true, Faults = faults with { SlowCall = 0.01 } },
            Mutation.HistoryNotProven or Mutation.ServerRunIgnored => drawn with { SetBacks = true, Failovers = false, Length = TimeSpan.FromSeconds(6) },
            Mutation.BaseDoesNotWait => drawn with { SlowStandby = true, SlotTrouble = true, Faults = faults with { Events = 0.5 } },
            // The oldest chunk's mistake alone shows: what others miss is replayed by key.
            Mutation.SnapshotTakenAfterRows => drawn with
            {
                FirstRows = 8,
                SlotTrouble = true,
                Faults = faults with { Events = 0.8 },
                Archive = drawn.Archive with { BaseChunkPages = 100 },
            },
            // In one part: what others miss is replayed by key. Calm, so that much is equal when the slot is lost.
            Mutation.ComparedUnderAnotherSnapshot or Mutation.DifferingRangeTakenAsEqual => drawn with
            {
                FirstRows = 20,
                SlotLost = true,
                SetBacks = false,
                Failovers = false,
                SlowStandby = false,
                Length = TimeSpan.FromSeconds(8),
                Faults = new Faults(),
                Archive = drawn.Archive with { RepairBytesMin = 0, RepairRangeRows = 1, RepairPartRows = 1000 },
            },
            Mutation.SlotAheadAccepted => drawn with { SlotTrouble = true, Faults = faults with { Events = 0.5 } },
            Mutation.TimelineIgnored => drawn with { Failovers = true, Faults = faults with { Events = 0.5 } },
            Mutation.EpochIgnored or Mutation.MissingBlockAccepted =>
                drawn with { Broker = true, Faults = faults with { Events = 0.4, Kill = 0.003, BrokerDuplicates = 0.1 } },
            Mutation.DropByBlockNumber => drawn with { Faults = faults with { Kill = 0.004 } },
            Mutation.ConfirmBeforeCommit => drawn with { Broker = true },
            _ => drawn,
        };
    }
}
