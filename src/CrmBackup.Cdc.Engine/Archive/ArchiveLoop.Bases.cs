using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The side of the loop that gives orders: bases, schema dumps, and the commits that follow from their answers.</summary>
public sealed partial class ArchiveLoop
{
    readonly Dictionary<(string Schema, string Name), SequenceState> _sequences = [];
    BasePlanner _bases = new(1);
    DateTimeOffset _lastAnswer;
    SchemaDesk? _schema;

    void ResumeBases()
    {
        _bases = new BasePlanner(_options.BaseChunkPages);
        var state = _vault.State;
        var complete = state.Bases.Select(one => (one.Relation, one.BaseId)).ToHashSet();
        var voided = state.Gaps.Where(gap => gap.Scope == GapScope.Database).Select(gap => gap.After.Lsn)
            .Concat(_pending.Gaps.Where(gap => gap.Scope == GapScope.Database).Select(gap => gap.After.Lsn)).DefaultIfEmpty().Max();
        foreach (var chunks in state.BaseChunks.GroupBy(chunk => chunk.Relation))
        {
            var newest = chunks.Max(chunk => chunk.BaseId);
            var current = chunks.Where(chunk => chunk.BaseId == newest).ToList();
            var shape = _tables!.Live.FirstOrDefault(live => live.Number == chunks.Key);
            if (shape is null || complete.Contains((chunks.Key, newest)) || current.Any(chunk => chunk.Barrier <= voided)
                || current.Any(chunk => chunk.Shape != shape.Version))
                continue;
            var resumed = _bases.Begin(shape, newest, current);
            resumed.Barrier = _reader!.Position with { Lsn = current.Max(chunk => chunk.Barrier) };
        }
    }

    /// <summary>The inventory's moment has come: every protected table has a relation, every relation a base or one in work.</summary>
    void Compare(Inventory inventory)
    {
        var listed = inventory.Tables.Select(table => table.Oid).ToHashSet();
        foreach (var gone in _tables!.Live.Where(shape => !listed.Contains(shape.Oid) && !_tables.IsNew(shape)).ToList())
        {
            _pending.Gaps.Add(new Gap(GapScope.Relation, gone.Number, _reader!.Position, null,
                $"{gone.FullName} is not protected any more", _clock.GetUtcNow()));
            _tables.Drop(gone.Oid);
            _bases.End(gone.Number);
        }
        var needed = new List<RelationShape>();
        foreach (var table in inventory.Tables.Where(table => !_tables.HasEnded(table.Oid)))
        {
            var shape = _tables.Find(table.Oid) ?? _tables.Apply(table).Shape;
            if (!_bases.IsOpen(shape.Number) && !IsCovered(shape.Number))
                needed.Add(shape);
        }
        _pending.Relations.AddRange(_tables.Commit(_reader!.Position.Lsn));
        foreach (var shape in needed)
            BeginBase(_tables.Find(shape.Oid)!);
    }

    /// <summary>True when a whole base stands after the relation's last gap.</summary>
    bool IsCovered(int relation)
    {
        var state = _vault.State;
        var from = state.Bases.Concat(_pending.Bases).Where(one => one.Relation == relation).Select(one => one.From.Lsn).DefaultIfEmpty().Max();
        var gap = state.Gaps.Concat(_pending.Gaps)
            .Where(one => one.Scope == GapScope.Database || (one.Scope == GapScope.Relation && one.Relation == relation))
            .Select(one => one.After.Lsn).DefaultIfEmpty().Max();
        return !from.IsNone && from > gap;
    }

    BasePlanner.Base BeginBase(RelationShape shape)
    {
        var state = _vault.State;
        var id = state.BaseChunks.Where(chunk => chunk.Relation == shape.Number).Select(chunk => chunk.BaseId)
            .Concat(state.Bases.Where(one => one.Relation == shape.Number).Select(one => one.BaseId))
            .Concat(_bases.Open.Where(one => one.Shape.Number == shape.Number).Select(one => one.Id)).DefaultIfEmpty(0).Max() + 1;
        // What an abandoned base has read already is of no use: it leaves the live set.
        _pending.Remove.AddRange(state.Segments.Values.Where(entry => entry.Kind == SegmentKind.Base && entry.Relation == shape.Number
            && !state.Bases.Any(one => one.Relation == entry.Relation && one.BaseId == entry.BaseId)
            && !_pending.Remove.Contains(entry.Path)).Select(entry => entry.Path));
        _logger.BaseBegins(id, shape.FullName);
        return _bases.Begin(shape, id);
    }

    void RestartBase(int relation, DateTimeOffset notBefore = default)
    {
        _bases.End(relation);
        if (_tables!.Live.FirstOrDefault(shape => shape.Number == relation) is { } shape)
            BeginBase(shape).NotBefore = notBefore;
    }

    void Expect(ReadBaseChunk order, BasePlanner.Base one, bool keys) =>
        _answers.Expect(order.Order, one.Shape, new BaseChunk(
            one.Shape.Number, one.Id, one.TakeChunkNumber(), "", one.Shape.Version, order.FromPage, order.ToPage, keys, Rows: 0));

    async Task OrdersAsync(DateTimeOffset now, CancellationToken stop)
    {
        if (_reader is null || _inventory is not null || _reader.HoldsCommit)
            return;
        if (_bases.Outstanding > 0 && now - _lastAnswer >= _options.AnswerPatience)
        {
            // An order that was lost on its way never comes back: begin anew, with orders of a new epoch.
            _logger.AnswersMissing(_options.AnswerPatience);
            await AskForStreamAsync(stop);
            return;
        }
        while (_bases.Outstanding < _options.BaseParallel && _bases.Next(_epoch.Epoch, now, SizeOf) is { } order)
        {
            var found = _bases.Find(order.Order)!.Value;
            Expect(order, found.Base, keys: false);
            _lastAnswer = now;
            await _log.RequestAsync(order, stop);
        }
        if (_schema!.Wants(now))
        {
            var order = _bases.NextOrder();
            _schema.Ordered(order);
            _answers.ExpectFiles(order);
            await _log.RequestAsync(new DumpSchema(_epoch.Epoch, order), stop);
        }
        await CompleteBasesAsync(stop);
        IsProtecting = _bases.Open.Count == 0 && !_schema.Needed;
    }

    (long Pages, bool HasKey) SizeOf(uint oid)
    {
        var shape = _tables!.Find(oid);
        return (_tables.Image(oid)?.Pages ?? 0, shape?.HasKey ?? false);
    }

    void OrderFailed(ArchiveInput.Failed failed)
    {
        _logger.OrderPutOff(failed.Order, failed.Answer.Reason);
        var later = _clock.GetUtcNow() + _options.OrderRetry;
        if (_schema?.Failed(failed.Order, later) == true || _bases.Answered(failed.Order) is not { } order)
            return;
        order.Base.NotBefore = later;
        order.Base.KeysAsked = order.Base.KeysDone;
        if (failed.Answer.Gone)
            // Its end comes in the stream.
            _bases.End(order.Base.Shape.Number);
        else if (order.Base.Done.Count > 0 && failed.Answer.Reason.Contains("filenode", StringComparison.Ordinal))
            RestartBase(order.Base.Shape.Number);
    }

    /// <summary>A chunk's segment becomes part of the vault at once, so that an interrupted base goes on chunk by chunk.</summary>
    async Task ChunkAsync(ArchiveInput.ChunkRead read, CancellationToken stop)
    {
        _lastAnswer = _clock.GetUtcNow();
        if (_bases.Answered(read.Order) is not { } order)
            return;
        var one = order.Base;
        var shape = _tables!.Find(one.Oid);
        var seen = read.Table.ToShape(one.Shape.Number, one.Shape.Version, one.Shape.Since);
        if (shape is null || !shape.SameAs(one.Shape) || !seen.SameAs(one.Shape)
            || (one.Done.Count > 0 && one.Done[0].FileNode != read.Table.FileNode))
        {
            _logger.OrderPutOff(read.Order, $"{one.Shape.FullName} changed while it was read: its base starts anew");
            RestartBase(one.Shape.Number, _clock.GetUtcNow() + _options.OrderRetry);
            return;
        }
        await FlushAsync(stop);
        await _writer.CommitAsync(new CommitContent { Add = read.Segment is null ? [] : [read.Segment], BaseChunks = [read.Chunk] }, stop);
        one.Done.Add(read.Chunk);
        one.KeysDone |= order.Keys;
        if (read.Barrier.Lsn > one.Barrier.Lsn)
            one.Barrier = read.Barrier;
    }

    /// <summary>A base is complete when the stream has passed what its newest snapshot saw.</summary>
    async Task CompleteBasesAsync(CancellationToken stop)
    {
        foreach (var one in _bases.Open.Where(one => one.PagesDone && one.Barrier.Lsn <= _reader!.Position.Lsn).ToList())
        {
            if (one.KeysAsked && !one.KeysDone)
                continue;
            if (!one.KeysDone && one.Done.Count > 1)
            {
                if (one.NotBefore > _clock.GetUtcNow())
                    continue;
                await FlushAsync(stop);
                if (UnfilledKeys.Of(_vault, one.Shape, one.Done) is { Count: > 0 } keys)
                {
                    var order = _bases.Keys(_epoch.Epoch, one, keys);
                    Expect(order, one, keys: true);
                    await _log.RequestAsync(order, stop);
                    continue;
                }
            }
            _pending.Bases.Add(new BaseComplete(one.Shape.Number, one.Id, one.Barrier) { Time = _reader!.Time });
            _bases.End(one.Shape.Number);
            _logger.BaseIsComplete(one.Id, one.Shape.FullName, one.Done.Sum(chunk => chunk.Rows), one.Barrier);
        }
    }

    async Task SchemaAsync(CancellationToken stop)
    {
        if (_reader is null || _schema?.Settled(_reader.Position) is not { } dump)
            return;
        var hash = await new SchemaStore(_vault.Medium).PutAsync(dump.Files, stop);
        _pending.Schemas.Add(_schema.Stored(hash, dump.From));
        _logger.SchemaStored(hash.Hex[..12], dump.From);
    }

    void Sampled(SequencesSampled sampled)
    {
        if (_sequences.Count == 0)
            foreach (var known in _vault.State.Sequences.SelectMany(sample => sample.Sequences))
                _sequences[(known.Schema, known.Name)] = known;
        var moved = sampled.Sequences.Where(now =>
            !_sequences.TryGetValue((now.Schema, now.Name), out var before) || before != now).ToList();
        foreach (var sequence in moved)
            _sequences[(sequence.Schema, sequence.Name)] = sequence;
        if (moved.Count > 0)
            _pending.Sequences.Add(new SequenceSample(sampled.At, moved));
    }

    async Task SettledAsync(ArchiveInput.Settled settled, CancellationToken stop)
    {
        if (settled.Content.Remove.FirstOrDefault(path => !_vault.State.Segments.ContainsKey(path)) is { } gone)
        {
            settled.Committed.TrySetException(new BackupException(
                $"log segment {gone} is settled already", "Nothing is lost: the job's files are orphans, and prune sweeps them."));
            return;
        }
        try
        {
            await _writer.CommitAsync(settled.Content, stop);
            _logger.Settled(settled.Content.Remove.Count, settled.Content.Add.Count, settled.Content.SettledTo ?? Lsn.None);
            settled.Committed.TrySetResult();
        }
        catch (Exception failure)
        {
            settled.Committed.TrySetException(failure);
            throw;
        }
    }
}
