namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>The one clock of a world: stands still while anything can run, then jumps to the next timer.</summary>
sealed class VirtualTime
{
    public static readonly DateTimeOffset Start = new(2026, 11, 22, 10, 0, 0, TimeSpan.Zero);

    readonly PriorityQueue<Timer, (long Due, long Order)> _timers = new();
    long _order;

    /// <summary>Ticks since <see cref="Start"/>; never 0. Whole milliseconds, as Task.Delay counts: less would never pass.</summary>
    public long Now { get; private set; } = TimeSpan.TicksPerMillisecond;

    public DateTimeOffset UtcNow => Start.AddTicks(Now);

    public void After(TimeSpan due, Action action) => new Timer(this, null, _ => action(), null).Change(due, Timeout.InfiniteTimeSpan);

    /// <summary>Timers that were due meanwhile fire one after the other, late.</summary>
    public void Jump(TimeSpan far) => Now += far.Ticks;

    /// <returns>False when there is no timer before the limit.</returns>
    public bool FireNext(long limit)
    {
        while (_timers.TryPeek(out var timer, out var when) && when.Due <= limit)
        {
            _timers.Dequeue();
            if (timer.Due != when.Due || timer.Order != when.Order || timer.Process is { Alive: false })
                continue;
            Now = Math.Max(Now, when.Due);
            timer.Fire();
            return true;
        }
        return false;
    }

    /// <summary>What a process sees of it. Its timers end with it.</summary>
    public sealed class Clock(World world, SimulatedProcess process) : TimeProvider
    {
        readonly VirtualTime _time = world.Time;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp()
        {
            world.Asked();
            return _time.Now;
        }

        public override DateTimeOffset GetUtcNow()
        {
            world.Asked();
            return _time.UtcNow;
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (period != Timeout.InfiniteTimeSpan && period != TimeSpan.Zero)
                throw new NotSupportedException("the simulated clock has no periodic timers");
            var timer = new Timer(_time, process, callback, state);
            timer.Change(dueTime, period);
            return timer;
        }
    }

    sealed class Timer(VirtualTime time, SimulatedProcess? process, TimerCallback callback, object? state) : ITimer
    {
        public SimulatedProcess? Process => process;

        public long Due { get; private set; } = -1;

        public long Order { get; private set; }

        public void Fire()
        {
            Due = -1;
            if (process is null)
                callback(state);
            else
                process.Run(callback, state);
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime == Timeout.InfiniteTimeSpan)
            {
                Due = -1;
                return true;
            }
            var milliseconds = (dueTime.Ticks + TimeSpan.TicksPerMillisecond - 1) / TimeSpan.TicksPerMillisecond;
            (Due, Order) = (time.Now + (milliseconds * TimeSpan.TicksPerMillisecond), ++time._order);
            time._timers.Enqueue(this, (Due, Order));
            return true;
        }

        public void Dispose() => Due = -1;

        public ValueTask DisposeAsync()
        {
            Due = -1;
            return ValueTask.CompletedTask;
        }
    }
}
