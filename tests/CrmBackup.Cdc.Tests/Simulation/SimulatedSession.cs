using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>The source as one capture process reaches it.</summary>
sealed class SimulatedSource(World world, SimulatedProcess process) : ISource
{
    public async Task<ISourceSession> OpenAsync(StreamStart start, CancellationToken stop)
    {
        await world.Network(process, stop);
        var server = world.Server;
        var session = new SimulatedSession(world, process, stop);
        server.Connect(session);
        process.Died += session.Cut;
        try
        {
            await world.Network(process, stop);
            SourceIdentity.RefuseOtherCluster(TemporaryVault.Identity.SystemIdentifier, start.SystemIdentifier);
            var slotAt = new Position(server.Branch.Timeline, server.Confirmed);
            if (start.IsPassedBy(server.Incarnation ?? Guid.Empty, slotAt))
            {
                await world.Network(process, stop);
                server.WaitAnew();
            }
            var (startedAt, begins) = start.Begin("crmbackup", server.Incarnation ?? Guid.Empty, slotAt, server.Written);
            if (world.Options.Mutation == Mutation.HistoryNotProven)
                begins = new StreamBeginning(startedAt.Lsn, null);
            var opened = new StreamOpened(slotAt, startedAt, 150020, "crm", server.Incarnation ?? Guid.Empty, true, [])
            {
                OtherHistory = server.OtherHistory,
                BranchedAt = start.At is { } known ? server.EndOf(known.Timeline) : null,
                ServerRun = world.Options.Mutation == Mutation.ServerRunIgnored ? "" : $"{server.Starts}",
            };
            if (world.Options.Mutation == Mutation.SlotAheadAccepted && start.At is { } asked)
                (opened, begins) = (opened with { SlotAt = slotAt with { Lsn = asked.Lsn }, StartedAt = startedAt with { Lsn = asked.Lsn } }, new StreamBeginning(asked.Lsn, null));
            if (world.Options.Mutation == Mutation.TimelineIgnored && start.At is { } at)
                opened = opened with { SlotAt = slotAt with { Timeline = at.Timeline }, StartedAt = at };
            session.Begin(opened, begins);
            return session;
        }
        catch
        {
            await session.DisposeAsync();
            throw;
        }
    }

    /// <summary>Not in one piece: a crash between the statements leaves what they did.</summary>
    public async Task MakeSlotAnewAsync(SlotLostException lost, int? ownPid, CancellationToken stop)
    {
        var server = world.Server;
        var run = server.Starts;
        if (lost.OtherHistory)
        {
            await world.Network(process, stop);
            MustBeUp();
            server.HistoryIsAnother();
        }
        await world.Network(process, stop);
        MustBeUp();
        server.ForgetIncarnation();
        await world.Network(process, stop);
        var running = server.Running.ToList();
        while (running.Any(transaction => transaction.End.IsNone && server.Running.Contains(transaction)))
        {
            await Task.Delay(TimeSpan.FromMilliseconds(50), process.Clock, stop);
            MustBeUp();
        }
        server.MakeSlot();
        await world.Network(process, stop);
        MustBeUp();
        server.RecordIncarnation();

        void MustBeUp()
        {
            process.MustLive();
            if (!server.Up || server.Starts != run)
                throw new IOException("the server does not answer");
        }
    }
}

/// <summary>One walsender and the connections beside it.</summary>
sealed class SimulatedSession(World world, SimulatedProcess process, CancellationToken streaming) : ISourceSession
{
    readonly Decoding _decoding = new(world);
    readonly SimulatedServer _server = world.Server;
    readonly Branch _branch = world.Server.Branch;
    TaskCompletionSource? _waiting;
    IReadOnlyList<SequenceState>? _sampledBefore;
    bool _cut;

    public StreamFacts Facts { get; private set; } = null!;

    public StreamOpened Opened { get; private set; } = null!;

    public ulong SystemIdentifier => TemporaryVault.Identity.SystemIdentifier;

    public int WalSenderPid => 4711;

    public ReadOnlyMemory<byte> Frame { get; private set; }

    public Lsn FrameAt { get; private set; }

    public Lsn Reached { get; private set; }

    public StreamBeginning BeginsAt { get; private set; }

    public void Begin(StreamOpened opened, StreamBeginning begins)
    {
        var from = begins.Lsn;
        (Opened, BeginsAt, Reached) = (opened, begins, from);
        Facts = new StreamFacts(150020, "crm", 5, "crmbackup", ["crmbackup"], opened.Incarnation, _server.WaitFor, SimulatedServer.Key, TimeSpan.Zero, "", true, []);
        _decoding.Begin(_branch, from > _server.Confirmed ? from : _server.Confirmed);
        // The first status reply says where we begin.
        Confirm(from);
    }

    public void Cut()
    {
        _cut = true;
        _server.Disconnect(this);
        Wake();
    }

    public void Wake()
    {
        _waiting?.TrySetResult();
        _waiting = null;
    }

    public async ValueTask ReadAsync()
    {
        while (true)
        {
            MustServe();
            streaming.ThrowIfCancellationRequested();
            if (_decoding.Next() is { } frame)
            {
                Reached = frame.Lsn > Reached ? frame.Lsn : Reached;
                (Frame, FrameAt) = (frame.Bytes, frame.Lsn);
                if (world.Options.Mutation == Mutation.DedupeByRowLsn && _decoding.SeenByRowLsn(frame))
                    continue;
                if (world.Random.Next(4) == 0)
                    await world.Network(process, streaming);
                return;
            }
            // A keepalive.
            Reached = _server.Written > Reached ? _server.Written : Reached;
            _waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            await using var stopping = streaming.Register(Wake);
            var waiting = _waiting.Task;
            await Task.WhenAny(Awaiting(waiting), Awaiting(Task.Delay(TimeSpan.FromMilliseconds(200), process.Clock, streaming)));
        }

        static async Task Awaiting(Task task) => await task;
    }

    public void Confirm(Lsn durable)
    {
        process.MustLive();
        // A status reply: it may come late, or never.
        world.Time.After(TimeSpan.FromMilliseconds(world.Random.Next(100)), () =>
        {
            if (!_cut && _server.Serves(this) && _server.Branch == _branch)
                _server.Confirm(durable);
        });
    }

    public async Task<SourceMoment> LookAsync(CancellationToken stop)
    {
        await RoundTripAsync(stop);
        return new SourceMoment(_server.Time, _server.Written, _server.NextXid);
    }

    public async Task<Inventory> TakeInventoryAsync(CancellationToken stop)
    {
        await RoundTripAsync(stop);
        var seen = _server.Visible();
        await RoundTripAsync(stop);
        return new Inventory(At(_server.Emit("""{"is": "barrier", "id": "inventory"}""")),
            [.. seen.Tables.Values.Select(table => table.Image(SimulatedCrm.Pages))]);
    }

    public async Task<IReadOnlyList<SequenceState>> SampleSequencesAsync(CancellationToken stop)
    {
        await RoundTripAsync(stop);
        IReadOnlyList<SequenceState> sampled = [new SequenceState("public", "ids", $"{Math.Max(_server.Sequence, 1)}", _server.Sequence > 0)];
        await RoundTripAsync(stop);
        if (world.Options.Mutation == Mutation.SequenceReadBeforeCommit)
            (sampled, _sampledBefore) = (_sampledBefore ?? sampled, sampled);
        return sampled;
    }

    public async Task WriteAnchorAsync(CancellationToken stop)
    {
        await RoundTripAsync(stop);
        _server.Emit("""{"is": "barrier", "id": "anchor"}""");
    }

    public IChunkReader OpenChunkReader() => new ChunkReader(this);

    public async Task<DumpedSchema> DumpSchemaAsync(CancellationToken stop)
    {
        await RoundTripAsync(stop);
        var before = _server.Emit("""{"is": "barrier", "id": "schema"}""");
        await RoundTripAsync(stop);
        var text = _server.Visible().Schema;
        await RoundTripAsync(stop);
        var after = _server.Emit("""{"is": "barrier", "id": "schema"}""");
        await RoundTripAsync(stop);
        return new DumpedSchema(before, after, new Dictionary<string, byte[]> { ["pre-data.sql"] = Encoding.UTF8.GetBytes(text) }, []);
    }

    public ValueTask DisposeAsync()
    {
        process.Died -= Cut;
        Cut();
        return ValueTask.CompletedTask;
    }

    async Task RoundTripAsync(CancellationToken stop)
    {
        MustServe();
        await world.Network(process, stop);
        MustServe();
    }

    void MustServe()
    {
        process.MustLive();
        if (_cut || !_server.Serves(this) || _server.Branch != _branch)
            throw new IOException("the server closed the connection");
    }

    Position At(Lsn lsn) => new(Opened.StartedAt.Timeline, lsn);

    /// <summary>COPY under one snapshot, then a barrier. As the real one it waits for what ran when the slot was made (rule 4).</summary>
    sealed class ChunkReader(SimulatedSession session) : IChunkReader
    {
        public async Task<ControlEntry> ReadAsync(ReadBaseChunk order, TakeRows take, CancellationToken stop)
        {
            var (server, world) = (session._server, session.World);
            await session.RoundTripAsync(stop);
            var snapshot = server.Snapshot();
            var seen = server.Visible();
            if (world.Options.Mutation == Mutation.SnapshotTakenAfterRows)
            {
                // A COPY of some length.
                for (var i = 0; i < 8; i++)
                    await session.RoundTripAsync(stop);
                snapshot = server.Snapshot();
            }
            if (!seen.Tables.TryGetValue(order.Oid, out var table))
                return new OrderFailed($"the table with OID {order.Oid} is gone", OrderFailure.Gone);
            if (world.Options.Mutation != Mutation.BaseDoesNotWait && session.Facts.WaitFor.FirstOrDefault(xid => !snapshot.Sees(xid)) is > 0 and var running)
                return new OrderFailed($"waits for transaction {running}");
            if (order.Ranges is { } ranges)
                return await CompareAsync(order, ranges, table, snapshot, seen, take, stop);
            var keys = order.Keys?.Select(key => key[0]).ToHashSet();
            var rows = seen.Rows.Values.Where(row => row.Table == order.Oid && (keys?.Contains($"{row.Row.Id}")
                ?? (row.Row.Page >= order.FromPage && (order.ToPage is not { } to || row.Row.Page < to)))).Select(row => row.Row).ToList();
            foreach (var row in rows)
                await take(Encoding.UTF8.GetBytes($"{row.Id}\t{row.N}\t{row.Doc ?? "\\N"}\n"), stop);
            await session.RoundTripAsync(stop);
            world.Trace.Note(() => $"chunk of {order.Oid} pages {order.FromPage}..{order.ToPage} keys {order.Keys?.Count}: {snapshot}: {string.Join(' ', rows.Select(row => row.Text))}");
            return new BaseChunkRead(snapshot.ToString(), table.Image(SimulatedCrm.Pages),
                session.At(server.Emit("""{"is": "barrier", "id": "base"}""")), rows.Count);
        }

        /// <summary>Ranges that the archive has already are not sent.</summary>
        async Task<ControlEntry> CompareAsync(
            ReadBaseChunk order, KeyRanges ranges, CrmTable table, Snapshot snapshot, CrmState seen, TakeRows take, CancellationToken stop)
        {
            var (server, world) = (session._server, session.World);
            if (order.FileNode == 0 && world.Happens(0.1))
                return new OrderFailed("statistics say no", OrderFailure.Costly);
            var to = ranges.To ?? (ranges.Expected.Count > 0 ? null : Rows(seen, ranges.From, null).Select(row => row.Id)
                .Where(id => ranges.From is null || id > int.Parse(ranges.From)).Skip(ranges.RowsMax).Select(id => $"{id}").FirstOrDefault());
            var limits = ranges.Expected.Select((range, place) => (From: range.From ?? ranges.From,
                To: place + 1 < ranges.Expected.Count ? ranges.Expected[place + 1].From : to)).ToList();
            var differing = Enumerable.Range(0, limits.Count).Where(place =>
                Hash(Rows(seen, limits[place].From, limits[place].To)) != ((int)ranges.Expected[place].Rows, ranges.Expected[place].Hash)).ToList();
            if (world.Options.Mutation == Mutation.ComparedUnderAnotherSnapshot)
            {
                // A comparison of some length.
                for (var i = 0; i < 40; i++)
                    await session.RoundTripAsync(stop);
                (snapshot, seen) = (server.Snapshot(), server.Visible());
            }
            if (world.Options.Mutation == Mutation.DifferingRangeTakenAsEqual && differing.Count > 0)
                differing.RemoveAt(0);
            var rows = ranges.Expected.Count == 0 ? Rows(seen, ranges.From, to)
                : [.. differing.SelectMany(place => Rows(seen, limits[place].From, limits[place].To))];
            foreach (var row in rows)
                await take(Encoding.UTF8.GetBytes($"{row.Id}\t{row.N}\t{row.Doc ?? "\\N"}\n"), stop);
            await session.RoundTripAsync(stop);
            world.EqualRanges += limits.Count - differing.Count;
            world.Trace.Note(() => $"keys {ranges.From}..{to} of {order.Oid}: {snapshot}: {differing.Count} of {limits.Count} ranges differ: {string.Join(' ', rows.Select(row => row.Text))}");
            var barrier = session.At(server.Emit("""{"is": "barrier", "id": "base"}"""));
            return new BaseChunkRead(snapshot.ToString(), table.Image(SimulatedCrm.Pages), barrier, rows.Count) { Ranges = new RangesRead(differing, to) };

            List<CrmRow> Rows(CrmState state, string? from, string? end) => [.. state.Rows.Values.Where(row => row.Table == order.Oid
                && (from is null || row.Row.Id >= int.Parse(from)) && (end is null || row.Row.Id < int.Parse(end))).Select(row => row.Row).OrderBy(row => row.Id)];
        }

        static (int, Sha256) Hash(List<CrmRow> rows)
        {
            var hasher = new RangeHasher();
            var tuple = new TupleWriter();
            foreach (var row in rows)
            {
                tuple.Begin();
                tuple.Text(Encoding.UTF8.GetBytes($"{row.Id}"));
                tuple.Text(Encoding.UTF8.GetBytes($"{row.N}"));
                tuple.Column(row.Doc is null ? ColumnState.Null : ColumnState.Text, Encoding.UTF8.GetBytes(row.Doc ?? ""));
                hasher.Add(tuple.End());
            }
            return hasher.Finish();
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    World World => world;
}
