using System.Runtime.CompilerServices;
using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>A broker as bad as one may be: forgets what it had not confirmed, delivers twice, in another order after a reconnect, and now and
/// then forgets everything.</summary>
sealed class FaultyBroker(World world)
{
    const int WaitingMax = 6;

    sealed record Stored(long Number, byte[] Bytes)
    {
        public bool Delivered { get; set; }
        public bool Confirmed { get; set; }
    }

    readonly Dictionary<BlockKind, List<Stored>> _lanes = new() { [BlockKind.Stream] = [], [BlockKind.Answer] = [] };
    readonly List<byte[]> _requests = [];
    readonly List<(SimulatedProcess Process, TaskCompletionSource Change)> _waiting = [];
    readonly HashSet<Client> _broken = [];
    readonly List<Client> _clients = [];
    readonly Dictionary<BlockKind, Client> _readers = [];
    long _next;

    public IChangeLog Connect(SimulatedProcess process)
    {
        var client = new Client(this, world, process);
        _clients.Add(client);
        process.Died += () =>
        {
            _clients.Remove(client);
            foreach (var lane in _readers.Where(reader => reader.Value == client).Select(reader => reader.Key).ToList())
                _readers.Remove(lane);
            Reconnected();
        };
        return client;
    }

    /// <summary>Connections break: unconfirmed blocks are lost, undone ones come again, not always in their place.</summary>
    public void Break()
    {
        foreach (var lane in _lanes.Values)
            lane.RemoveAll(stored => !stored.Confirmed && world.Random.Next(2) == 0);
        foreach (var client in _clients)
            _broken.Add(client);
        Reconnected();
        if (world.Random.Next(3) == 0 && _lanes[BlockKind.Stream] is { Count: > 1 } stream)
            (stream[0], stream[^1]) = (stream[^1], stream[0]);
        if (world.Random.Next(3) == 0 && _requests.Count > 0)
            _requests.RemoveAt(world.Random.Next(_requests.Count));
    }

    public void ForgetEverything()
    {
        foreach (var lane in _lanes.Values)
            lane.Clear();
        _requests.Clear();
        foreach (var client in _clients)
            _broken.Add(client);
        Changed();
    }

    void Reconnected()
    {
        foreach (var stored in _lanes.Values.SelectMany(lane => lane))
            stored.Delivered = false;
        Changed();
    }

    void Changed()
    {
        foreach (var (_, change) in _waiting)
            change.TrySetResult();
        _waiting.Clear();
    }

    async Task ChangeAsync(SimulatedProcess process, CancellationToken stop)
    {
        var change = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting.Add((process, change));
        await using var stopping = stop.Register(() => change.TrySetCanceled(stop));
        await change.Task;
        process.MustLive();
    }

    sealed class Client(FaultyBroker broker, World world, SimulatedProcess process) : IChangeLog
    {
        public async Task PublishAsync(Block block, CancellationToken stop)
        {
            try
            {
                process.MustLive();
                var lane = broker._lanes[block.Header.Kind];
                while (lane.Count(stored => !stored.Delivered) >= WaitingMax)
                {
                    RefuseWhenBroken();
                    await broker.ChangeAsync(process, stop);
                }
                RefuseWhenBroken();
                var stored = new Stored(broker._next++, block.Bytes.ToArray());
                lane.Add(stored);
                world.Trace.Add(process.Name, "publish", (long)block.Header.Number, (long)block.Header.After.Value);
                world.Time.After(TimeSpan.FromMilliseconds(world.Random.Next(20)), () => stored.Confirmed = true);
                if (world.Happens(world.Options.Faults.BrokerDuplicates))
                    lane.Add(stored with { Number = broker._next++ });
                broker.Changed();
                if (world.Random.Next(3) == 0)
                    await world.Network(process, stop);
            }
            finally
            {
                block.Dispose();
            }
        }

        void RefuseWhenBroken()
        {
            process.MustLive();
            if (broker._broken.Remove(this))
                throw new ChangeLogInterruptedException("the connection broke");
        }

        public async IAsyncEnumerable<ArchiveRequest> RequestsAsync([EnumeratorCancellation] CancellationToken stop)
        {
            while (true)
            {
                process.MustLive();
                if (broker._requests.Count == 0)
                {
                    await broker.ChangeAsync(process, stop);
                    continue;
                }
                var request = ArchiveRequest.Parse(broker._requests[0]);
                if (!world.Happens(world.Options.Faults.BrokerDuplicates))
                    broker._requests.RemoveAt(0);
                world.Trace.Add(process.Name, "request", request.GetType().Name);
                yield return request;
            }
        }

        public async Task RequestAsync(ArchiveRequest request, CancellationToken stop)
        {
            process.MustLive();
            if (!world.Happens(world.Options.Faults.RequestLost))
                broker._requests.Add(request.ToBytes());
            broker.Changed();
            if (world.Random.Next(3) == 0)
                await world.Network(process, stop);
        }

        public async IAsyncEnumerable<Delivery> ReadAsync(BlockKind lane, [EnumeratorCancellation] CancellationToken stop)
        {
            while (!broker._readers.TryAdd(lane, this))
                await broker.ChangeAsync(process, stop);
            while (true)
            {
                process.MustLive();
                if (broker._lanes[lane].Find(waiting => !waiting.Delivered) is not { } stored)
                {
                    await broker.ChangeAsync(process, stop);
                    continue;
                }
                stored.Delivered = true;
                broker.Changed();
                world.Trace.Add(process.Name, "deliver", (long)lane, stored.Number);
                yield return new Delivery(
                    Block.Parse(stored.Bytes), () => Done(lane, stored), block => { block.Dispose(); stored.Delivered = false; });
            }
        }

        ValueTask Done(BlockKind lane, Stored stored)
        {
            process.MustLive();
            broker._lanes[lane].Remove(stored);
            return ValueTask.CompletedTask;
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
