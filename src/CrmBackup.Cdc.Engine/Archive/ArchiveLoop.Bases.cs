using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The side of the loop that gives orders: bases, schema dumps, and the commits that follow from their answers.</summary>
public sealed partial class ArchiveLoop
{
    /// <summary>A base begun anew so often without any word of a change: the source is listed anew.</summary>
    const int MisreadMax = 5;
    readonly Dictionary<(string Schema, string Name), SequenceState> _sequences = [];
    BasePlanner _bases = new(1);
    readonly Queue<CatalogSeen> _looks = [];
    /// <summary>When the last order was given, or one for a base was answered.</summary>
    DateTimeOffset _lastAnswer;
    CatalogDesk? _catalog;
    /// <summary>Something happened that nobody told: what the source looks like must be listed anew.</summary>
    bool _silent;
    /// <summary>The source could not be listed: its stream goes on, a new one could not be opened.</summary>
    bool _setupUnusable;
    readonly Dictionary<int, int> _misread = [];
    SchemaDesk? _schema;

    void ResumeBases()
    {
        foreach (var open in _bases.Open.ToList())
            _bases.End(open.Shape.Number);
        _bases = new BasePlanner(_options.BaseChunkPages, _options.RepairPartRows);
        var state = _vault.State;
        var complete = state.Bases.Select(one => (one.Relation, one.BaseId)).ToHashSet();
        var voided = LastGap(gap => gap.Scope == GapScope.Database);
        foreach (var chunks in state.BaseChunks.GroupBy(chunk => chunk.Relation))
        {
            var newest = chunks.Max(chunk => chunk.BaseId);
            var current = chunks.Where(chunk => chunk.BaseId == newest).ToList();
            var shape = _tables!.Live.FirstOrDefault(live => live.Number == chunks.Key);
            if (shape is null || complete.Contains((chunks.Key, newest)) || newest <= Voided(chunks.Key) || current.Any(chunk => chunk.Barrier <= voided)
                || current.Any(chunk => chunk.Shape != shape.Version))
                continue;
            var compared = current.Where(chunk => chunk.Compared is not null).MaxBy(chunk => chunk.FromPage)?.Compared;
            var repair = compared is not null && PastOf(shape) is { } past ? new Repair(past, compared.Column, compared.To) : null;
            if (compared is not null && repair is null)
                continue;
            var resumed = _bases.Begin(shape, newest, current, repair);
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
            var shape = ShapeOf(table);
            var covered = IsCovered(shape.Number);
            if (covered && _tables.Image(table.Oid) is { Updates: false })
                _pending.Gaps.Add(new Gap(GapScope.Relation, shape.Number, _reader!.Position, null,
                    $"updates and deletes of {shape.FullName} are not published", _clock.GetUtcNow()));
            else if (covered)
                continue;
            if (!_bases.IsOpen(shape.Number))
                needed.Add(shape);
        }
        _pending.Relations.AddRange(_tables.Commit(_reader!.Position.Lsn));
        _tables.Compared();
        if (Unlisted is not null)
            _pending.Settings[Coverage.UnlistedFrom] = "";
        // Read in this order: a small table is not to wait for its coverage until a large one has been read.
        foreach (var shape in needed.OrderBy(shape => SizeOf(shape.Oid).Pages))
            BeginBase(_tables.Find(shape.Oid)!, RepairOf(shape));
    }

    /// <summary>A table whose columns are others than what was told is unknown since the last look that found all well.</summary>
    RelationShape ShapeOf(CatalogTable table)
    {
        if (_tables!.Find(table.Oid) is not { } known)
            return _tables.Apply(table).Shape;
        var listed = table.ToShape(known.Number, known.Version, known.Since);
        if (_tables.IsTold(table.Oid) || known.SameAs(listed))
            return known;
        if (!known.Columns.Select(Told).SequenceEqual(listed.Columns.Select(Told)))
            TableGap(known, "its columns, or their types, changed without a message of ours", _catalog!.Before);
        return _tables.Apply(table).Shape;

        static (short, string, uint, int, ValueRule?) Told(ColumnShape column) => (column.AttNum, column.Name, column.TypeOid, column.TypeMod, column.Rule);
    }

    BasePlanner.Base BeginBase(RelationShape shape, Repair? repair = null)
    {
        var state = _vault.State;
        var id = state.BaseChunks.Where(chunk => chunk.Relation == shape.Number).Select(chunk => chunk.BaseId)
            .Concat(state.Bases.Where(one => one.Relation == shape.Number).Select(one => one.BaseId))
            .Concat(_bases.Open.Where(one => one.Shape.Number == shape.Number).Select(one => one.Id)).DefaultIfEmpty(0).Max() + 1;
        // What an abandoned base has read already is of no use: it leaves the live set.
        _pending.Remove.AddRange(state.Segments.Values.Where(entry => entry.Kind == SegmentKind.Base && entry.Relation == shape.Number
            && !state.Bases.Concat(_pending.Bases).Any(one => one.Relation == entry.Relation && one.BaseId == entry.BaseId)
            && !_pending.Remove.Contains(entry.Path)).Select(entry => entry.Path));
        VoidBase(shape.Number);
        if (repair is null)
            _logger.BaseBegins(id, shape.FullName);
        else
            _logger.RepairBegins(id, shape.FullName, repair.Past);
        return _bases.Begin(shape, id, repair: repair);
    }

    void RestartBase(int relation, DateTimeOffset notBefore = default)
    {
        _bases.End(relation);
        if (_tables!.Live.FirstOrDefault(shape => shape.Number == relation) is { } shape)
            BeginBase(shape).NotBefore = notBefore;
    }

    void Expect(ReadBaseChunk order, BasePlanner.Base one, bool keys)
    {
        _lastAnswer = _clock.GetUtcNow();
        _answers.Expect(order.Order, one.Shape, new BaseChunk(
            one.Shape.Number, one.Id, one.TakeChunkNumber(), "", one.Shape.Version, order.FromPage, order.ToPage, keys, Rows: 0)
        {
            Compared = order.Ranges is { } ranges ? new ComparedKeys(ranges.Column, ranges.From, ranges.To, ranges.Expected.Count, 0, 0) : null,
        }, order.Ranges is null ? null : one.Repair!.Next(_options.RepairPartRows).Part);
    }

    async Task OrdersAsync(DateTimeOffset now, CancellationToken stop)
    {
        if (_reader is null || _inventory is not null || _reader.HoldsCommit)
            return;
        if ((_bases.Outstanding > 0 || _schema!.IsOrdered) && now - _lastAnswer >= _options.AnswerPatience)
        {
            // An order that was lost on its way never comes back: begin anew, with orders of a new epoch.
            _logger.AnswersMissing(_options.AnswerPatience);
            await AskForStreamAsync(stop);
            return;
        }
        while (_bases.Outstanding < _options.BaseParallel && _bases.Next(_epoch.Epoch, now, SizeOf, oid => _tables!.Image(oid) is not { Updates: false }) is { } order)
        {
            var found = _bases.Find(order.Order)!.Value;
            Expect(order, found.Base, keys: false);
            await _log.RequestAsync(order, stop);
        }
        if (_schema!.Wants(now))
        {
            var order = _bases.NextOrder();
            _schema.Ordered(order);
            _lastAnswer = now;
            _answers.ExpectFiles(order);
            await _log.RequestAsync(new DumpSchema(_epoch.Epoch, order), stop);
        }
        await CompleteBasesAsync(stop);
        await FoldNextAsync();
        IsProtecting = _tables!.IsCompared && _bases.Open.Count == 0 && !_schema.Needed;
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
        if (failed.Answer.Failure == OrderFailure.Gone)
            // Its end comes in the stream.
            _bases.End(order.Base.Shape.Number);
        else if (order.Base.Repair is not null && failed.Answer.Failure is OrderFailure.Costly or OrderFailure.Unsendable)
            ReadInstead(order.Base, failed.Answer.Reason);
        else if (failed.Answer.Failure == OrderFailure.Rewritten)
            RestartBase(order.Base.Shape.Number, later);
        else if (failed.Answer.Failure == OrderFailure.Unsendable)
            NotSendable(order.Base, failed.Answer.Reason);
    }

    /// <summary>Said once, as a gap, where everybody looks for the reason; reading costs the source much, so it is tried ever more seldom.</summary>
    void NotSendable(BasePlanner.Base one, string why)
    {
        one.Refusals++;
        one.NotBefore = _clock.GetUtcNow() + Min(_options.OrderRetry * Math.Pow(2, one.Refusals), TimeSpan.FromMinutes(5));
        var reason = $"{one.Shape.FullName} cannot be read: {why}";
        if (!_vault.State.Gaps.Concat(_pending.Gaps).Any(gap => gap.Relation == one.Shape.Number && gap.Reason == reason && gap.After.Lsn > LastBase(one.Shape.Number)))
            _pending.Gaps.Add(new Gap(GapScope.Relation, one.Shape.Number, _reader!.Position, null, reason, _clock.GetUtcNow()));
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
        if (shape is null || !read.Table.Updates || !shape.SameAs(one.Shape) || !seen.SameAs(one.Shape)
            || (one.Done.Count > 0 && one.Done[0].FileNode != read.Table.FileNode))
        {
            _logger.OrderPutOff(read.Order, $"{one.Shape.FullName} changed while it was read: its base starts anew");
            RestartBase(one.Shape.Number, _clock.GetUtcNow() + _options.OrderRetry);
            // A change that is told comes in the stream meanwhile.
            _silent |= (_misread[one.Shape.Number] = _misread.GetValueOrDefault(one.Shape.Number) + 1) % MisreadMax == 0;
            return;
        }
        await FlushAsync(stop);
        await _writer.CommitAsync(new CommitContent { Add = read.Segment is null ? [] : [read.Segment], BaseChunks = [read.Chunk] }, stop);
        _misread.Remove(one.Shape.Number);
        one.Done.Add(read.Chunk);
        if (read.Chunk.Compared is { } compared)
            one.Repair!.Done(compared);
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
            if (one.Done.Count > 1 && one.NotBefore > _clock.GetUtcNow())
                continue;
            if (!one.KeysDone && one.Done.Count > 1)
            {
                await FlushAsync(stop);
                if (UnfilledKeys.Of(_vault, one.Shape, one.Done) is { Count: > 0 } keys)
                {
                    var order = _bases.Keys(_epoch.Epoch, one, keys);
                    Expect(order, one, keys: true);
                    await _log.RequestAsync(order, stop);
                    continue;
                }
            }
            if (one.KeysDone && await KeysMovedAsync(one, stop))
            {
                _logger.OrderPutOff(0, $"rows of {one.Shape.FullName} changed their keys while it was read: it is read once more, in one piece");
                _bases.End(one.Shape.Number);
                BeginBase(one.Shape).Whole = true;
                continue;
            }
            _pending.Bases.Add(new BaseComplete(one.Shape.Number, one.Id, one.Barrier) { Time = _reader!.Time });
            _bases.End(one.Shape.Number);
            _logger.BaseIsComplete(one.Id, one.Shape.FullName, one.Done.Sum(chunk => chunk.Rows), one.Barrier);
            if (RepairedTable.Of(one.Shape.FullName, one.Done) is { } repaired)
                _logger.Repaired(one.Shape.FullName, repaired.Ranges, repaired.Differing, repaired.RowsCopied, repaired.Rows);
        }
    }

    /// <summary>True when a row was asked for by a key that it no longer had: its value may stand nowhere.</summary>
    async Task<bool> KeysMovedAsync(BasePlanner.Base one, CancellationToken stop)
    {
        await FlushAsync(stop);
        return UnfilledKeys.Moved(_vault, one.Shape, one.Done, one.Keys);
    }

    async Task SchemaAsync(CancellationToken stop)
    {
        if (_reader is null || _schema?.Settled(_reader.Position) is not { } dump)
            return;
        var hash = await new SchemaStore(_vault.Medium).PutAsync(dump.Files, stop);
        var version = dump.Version(hash);
        _pending.Schemas.Add(version);
        // Whatever was not described before is in the dump.
        _pending.Gaps.AddRange(_vault.State.Gaps.Concat(_pending.Gaps)
            .Where(gap => gap is { Scope: GapScope.Schema, Until: null } && gap.After.Timeline == version.From.Timeline && gap.After.Lsn <= version.From.Lsn)
            .Select(gap => gap with { Until = version.From }).Distinct().ToList());
        _logger.SchemaStored(hash.Hex[..12], version.From);
    }

    void Sampled(SequencesSampled sampled)
    {
        if (_sequences.Count == 0)
            foreach (var sample in _vault.State.Sequences)
            {
                foreach (var known in sample.Sequences)
                    _sequences[(known.Schema, known.Name)] = known;
                foreach (var gone in sample.Absent)
                    _sequences.Remove((gone.Schema, gone.Name));
            }
        var moved = sampled.Sequences.Where(now =>
            !_sequences.TryGetValue((now.Schema, now.Name), out var before) || before != now).ToList();
        var absent = _sequences.Keys.Except(sampled.Sequences.Select(now => (now.Schema, now.Name))).ToList();
        foreach (var sequence in moved)
            _sequences[(sequence.Schema, sequence.Name)] = sequence;
        foreach (var gone in absent)
            _sequences.Remove(gone);
        if (moved.Count + absent.Count > 0)
            _pending.Sequences.Add(new SequenceSample(sampled.At, moved)
            {
                Absent = [.. absent.Select(gone => new SequenceName(gone.Schema, gone.Name))],
            });
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
            if (settled.Content.Parity is null)
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
