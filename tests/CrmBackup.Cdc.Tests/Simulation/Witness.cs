using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>A promise was broken.</summary>
sealed class ViolationException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Looks at what is durable, and at nothing else, and holds it against what the simulated source knows to be true.</summary>
sealed class Witness(World world)
{
    readonly DirectoryMedium _medium = new(Platter.Root, new DurableView(world.Platter));
    readonly Dictionary<string, List<ChangeEvent>> _events = [];
    readonly Dictionary<string, List<byte[]>> _rows = [];
    readonly HashSet<string> _proven = [];
    readonly Histories _histories = new(world.Server, new DirectoryMedium(Platter.Root, new DurableView(world.Platter)));
    BackupVault? _vault;

    public void Open() => _vault = Now(BackupVault.OpenAsync(_medium, CancellationToken.None));

    public VaultState Refresh()
    {
        try
        {
            var state = Now(_vault!.RefreshAsync(CancellationToken.None));
            foreach (var segment in state.Segments.Values.Where(segment => _proven.Add(segment.Path)))
                SegmentFile.OpenVerified(_medium.OpenRead(segment.Path), segment).Dispose();
            return state;
        }
        catch (Exception failure) when (failure is BackupException)
        {
            throw new ViolationException($"what is durable is no vault any more: {failure.Message}", failure);
        }
    }

    /// <summary>The server may drop its WAL up to here.</summary>
    public void Confirmed(Position position)
    {
        var covered = Refresh().CoveredTo?.Position;
        if (covered is not { } durable || durable.Timeline != position.Timeline || durable.Lsn < position.Lsn)
            throw new ViolationException($"the slot was confirmed at {position}, durable is {covered}");
    }

    /// <summary>What was durable stays so, byte for byte; and the vault opens.</summary>
    public void AfterPowerCut()
    {
        var head = _vault!.State.Head;
        var hash = _vault.State.HeadHash;
        if (head > 0 && (Now(_medium.ReadAsync(VaultPath.Commit(head), CancellationToken.None)) is not { } file || Sha256.Of(file) != hash))
            throw new ViolationException($"commit {head} was durable, and is not what it was after a power cut");
        foreach (var segment in _vault.State.Segments.Values)
            if (world.Platter.DurableBytes($"{Platter.Root}/{segment.Path}")?.Length != segment.Bytes)
                throw new ViolationException($"{segment.Path} was durable, and is gone or torn after a power cut");
        Refresh();
        Reopen();
    }

    void Reopen()
    {
        try
        {
            Now(BackupVault.OpenAsync(_medium, CancellationToken.None));
        }
        catch (Exception failure) when (failure is BackupException)
        {
            throw new ViolationException($"the vault does not open: {failure.Message}", failure);
        }
    }

    /// <summary>True when everything that the source has committed on its timeline is durable, based and confirmed.</summary>
    public bool IsCaughtUp()
    {
        var server = world.Server;
        var newest = server.Branch.Committed.LastOrDefault(one => one.Changes.Any(change => !change.Void));
        var last = newest?.End ?? Lsn.None;
        // It stays where the newest transaction comes again.
        if (server.Confirmed < (newest?.CommitRecord ?? Lsn.None))
            return false;
        var state = Refresh();
        return state.CoveredTo is { } covered && covered.Position.Timeline == server.Branch.Timeline && covered.Position.Lsn >= last
            && state.Schemas.Any(schema => schema.Until is null) && Coverage.Of(state).Holds(covered.Position);
    }

    public string Describe()
    {
        var state = Refresh();
        var coverage = Coverage.Of(state);
        return $"durable {state.CoveredTo?.Position}, commits {state.Head}, {coverage.Describe()}; {string.Join("; ", coverage.Reduced)}";
    }

    /// <summary>Whatever is said to be covered can be restored, and is what it was.</summary>
    /// <param name="positions">How many inside each range, beside its ends.</param>
    public void CompareCovered(int positions)
    {
        var state = Refresh();
        Reopen();
        GapsHaveReasons(state);
        var coverage = Coverage.Of(state);
        foreach (var range in coverage.Database)
        {
            Compare(state, range.From);
            Compare(state, range.UpTo);
            var inside = _histories.On(range.From.Timeline).SelectMany(branch => branch.Committed).Distinct().Where(one => range.Holds(range.From with { Lsn = one.End })).ToList();
            for (var i = 0; i < positions && inside.Count > 0; i++)
            {
                var end = inside[world.Random.Next(inside.Count)].End;
                Compare(state, range.From with { Lsn = end });
                if (end > range.From.Lsn)
                    Compare(state, range.From with { Lsn = new Lsn(end.Value - 1) });
            }
        }
        foreach (var mark in state.Marks)
            if (!world.Crm.Marks.TryGetValue(mark.Name, out var set) || mark.At.Lsn != set.At.Lsn)
                throw new ViolationException($"the vault has {mark.Name} at {mark.At}, it was set at {set.At}");
        foreach (var (name, (by, at)) in world.Crm.Marks)
            if (coverage.Holds(at) && coverage.Database.Any(range => range.Holds(at) && range.From.Lsn < at.Lsn) && state.Marks.All(mark => mark.Name != name)
                && _histories.At(state, at).All(branch => branch.Committed.Contains(by)))
                throw new ViolationException($"{name} at {at} is covered and missing");
        OnceEach(state);
    }

    /// <summary>All of it at the newest position, as a restore reads it.</summary>
    public void CompareLatest()
    {
        var state = Refresh();
        Compare(state, state.CoveredTo!.Position, throughRestore: true);
    }

    void GapsHaveReasons(VaultState state)
    {
        // A gap with an end says of an earlier stretch that its tables were never listed; another one made it so.
        var gaps = state.Gaps.Where(gap => gap is { Scope: GapScope.Database, Until: null }).ToList();
        if (gaps.Count > world.Server.GapsExplained)
            throw new ViolationException($"{gaps.Count} gaps, {world.Server.GapsExplained} reasons: {string.Join("; ", gaps.Select(gap => $"after {gap.After}: {gap.Reason}"))}");
        // The end of a table may lie where nothing could be read: then nobody told of it.
        foreach (var lost in state.Gaps.Where(gap => gap.Scope == GapScope.Relation))
            if (state.Relations.First(shape => shape.Number == lost.Relation).Oid is var oid
                && _histories.On(lost.After.Timeline).All(branch => branch.At(lost.After.Lsn).Tables.ContainsKey(oid)))
                throw new ViolationException($"a gap of relation {lost.Relation} after {lost.After} without a reason: {lost.Reason}");
    }

    void OnceEach(VaultState state)
    {
        var seen = new HashSet<(uint, Lsn, int, int)>();
        foreach (var segment in TargetResolution.EventSegments(state))
            foreach (var change in Events(segment))
                if (!seen.Add((segment.Timeline, change.CommitLsn, change.Ordinal, change.Relation)))
                    throw new ViolationException($"event {change.Ordinal} of the transaction at {change.CommitLsn} stands in the vault twice");
    }

    void Compare(VaultState state, Position at, bool throughRestore = false)
    {
        try
        {
            var plan = RestorePlan.For(state, at);
            var rows = plan.Relations.ToDictionary(relation => relation.Shape.Number, relation => Fold(relation, at, throughRestore));
            var differences = _histories.At(state, at).Select(branch => Difference(plan, rows, branch, at)).ToList();
            if (differences.Count == 0)
                throw new ViolationException($"the state at {at} is of no history that the source ever had");
            if (differences.TrueForAll(difference => difference is not null))
                throw differences[0]!;
        }
        catch (Exception failure) when (failure is BackupException or InvalidOperationException)
        {
            throw new ViolationException($"{at} is covered, and cannot be restored: {failure.Message}", failure);
        }
    }

    /// <returns>Null: what would be restored is what was.</returns>
    ViolationException? Difference(RestorePlan plan, Dictionary<int, List<string>> restored, Branch branch, Position at)
    {
        var expected = branch.At(at.Lsn);
        var names = plan.Relations.Select(relation => relation.Shape.Name).Order(StringComparer.Ordinal);
        if (!names.SequenceEqual(expected.Tables.Values.Select(table => table.Name).Order(StringComparer.Ordinal)))
            return new ViolationException($"at {at} tables {string.Join(',', names)} would be restored, there were {string.Join(',', expected.Tables.Values)}");
        foreach (var relation in plan.Relations)
        {
            var rows = restored[relation.Shape.Number];
            var wanted = expected.RowsOf(relation.Shape.Oid);
            if (rows.SequenceEqual(wanted))
                continue;
            world.Trace.Note(() => $"{relation.Shape.FullName}: base {relation.Base} chunks {string.Join(' ', relation.Chunks.Select(chunk => chunk.Chunk))}\n"
                + string.Join('\n', relation.Events.Select(segment => $"{segment.Path} {segment.First}..{segment.Last} max xid {segment.MaxXid}: "
                    + string.Join(' ', Events(segment).Where(change => change.Relation == relation.Shape.Number).Select(change => $"{change.CommitLsn}.{change.Ordinal} x{change.Xid} {change.Kind}")))));
            return new ViolationException($"{relation.Shape.Name} at {at}: restored [{string.Join(' ', rows.Except(wanted))}] "
                + $"instead of [{string.Join(' ', wanted.Except(rows))}], {rows.Count} rows of {wanted.Count}");
        }
        return SequenceDifference(plan, branch, at) ?? (plan.Schema is { Exact: true } schema ? SchemaDifference(schema, at, expected) : null);
    }

    static ViolationException? SequenceDifference(RestorePlan plan, Branch branch, Position at)
    {
        var used = branch.Committed.Where(one => one.End <= at.Lsn).Select(one => one.HighestId).DefaultIfEmpty(0).Max();
        return plan.Sequences.FirstOrDefault(sequence => !sequence.Raise && int.Parse(sequence.State.LastValue) < used) is { } behind
            ? new ViolationException($"the sequence at {at} is restored to {behind.State.LastValue} (sampled at {behind.SampledAt}), rows use {used}") : null;
    }

    ViolationException? SchemaDifference(SchemaPlan schema, Position at, CrmState expected)
    {
        var files = Now(new SchemaStore(_medium).ReadAsync(schema.Version.Hash, CancellationToken.None));
        return Encoding.UTF8.GetString(files["pre-data.sql"]) is var text && text != expected.Schema
            ? new ViolationException($"the schema at {at} is said to be exact, and is [{text}] instead of [{expected.Schema}]") : null;
    }

    List<string> Fold(RelationPlan relation, Position at, bool throughRestore)
    {
        var includes = (Lsn end, ulong _) => end <= at.Lsn;
        var input = throughRestore ? new RelationRows(_medium).Input(relation, includes) : new FoldInput
        {
            Target = relation.Shape,
            Shapes = relation.Shapes,
            Chunks = [.. relation.Chunks.Select(chunk => new FoldChunk(chunk.Chunk.Shape, chunk.Snapshot,
                () => chunk.Segments.SelectMany(Rows).Select(row => (ReadOnlyMemory<byte>)row)))],
            Events = () => relation.Events.SelectMany(Events).Where(change => change.Relation == relation.Shape.Number)
                .OrderBy(change => change.CommitLsn).ThenBy(change => change.Ordinal),
            Includes = includes,
        };
        var rows = new List<string>();
        Now(RelationFold.RunAsync(input, new FoldOptions(), (batch, _) =>
        {
            for (var i = 0; i < batch.Count; i++)
                rows.Add(Frames.Values(batch[i]));
            return ValueTask.CompletedTask;
        }, CancellationToken.None));
        rows.Sort(StringComparer.Ordinal);
        return rows;
    }

    List<ChangeEvent> Events(SegmentEntry entry)
    {
        MustBeThere(entry);
        if (!_events.TryGetValue(entry.Path, out var events))
        {
            using var segment = SegmentFile.OpenVerified(_medium.OpenRead(entry.Path), entry);
            _events[entry.Path] = events = [.. segment.ReadEvents().Select(change =>
                change with { OldTuple = change.OldTuple.ToArray(), NewTuple = change.NewTuple.ToArray() })];
        }
        return events;
    }

    List<byte[]> Rows(SegmentEntry entry)
    {
        MustBeThere(entry);
        if (!_rows.TryGetValue(entry.Path, out var rows))
        {
            using var segment = SegmentFile.OpenVerified(_medium.OpenRead(entry.Path), entry);
            _rows[entry.Path] = rows = [.. segment.ReadRows().Select(row => row.ToArray())];
        }
        return rows;
    }

    void MustBeThere(SegmentEntry entry)
    {
        if (!_medium.OpenReadable(entry.Path, world))
            throw new ViolationException($"{entry.Path} is live and is not there");
    }

    static T Now<T>(Task<T> task)
    {
        if (!task.IsCompleted)
            throw new InvalidOperationException("the witness waits for something");
        return task.GetAwaiter().GetResult();
    }
}

static class WitnessMedium
{
    public static bool OpenReadable(this DirectoryMedium medium, string path, World world) =>
        world.Platter.DurableBytes($"{medium.Location}/{path}") is not null;
}
