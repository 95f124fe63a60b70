using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Decides which rows of which table are to be read next for a base. Pure: asks nobody, reads no clock.
/// A table with a key is read in chunks of pages under different snapshots, one without in a single chunk (rule 5); one that is repaired, in
/// chunks of keys, one after the other.</summary>
sealed class BasePlanner(int chunkPages, int repairRows = 0)
{
    readonly Dictionary<int, Base> _open = [];
    readonly Dictionary<ulong, Ordered> _ordered = [];
    ulong _lastOrder;

    /// <summary>A base that is being read.</summary>
    public sealed class Base(RelationShape shape, uint oid, int id)
    {
        public RelationShape Shape { get; } = shape;
        public uint Oid { get; } = oid;
        public int Id { get; } = id;
        public List<BaseChunk> Done { get; } = [];
        public Position Barrier { get; set; }
        public bool KeysAsked { get; set; }
        /// <summary>What was asked for by key, last.</summary>
        public IReadOnlyList<IReadOnlyList<string>> Keys { get; set; } = [];
        /// <summary>To be read in one piece, under one snapshot, though the table has a key.</summary>
        public bool Whole { get; set; }
        public bool KeysDone { get; set; }
        /// <summary>Null: all of it is read.</summary>
        public Repair? Repair { get; init; }
        /// <summary>How often the server could not send it.</summary>
        public int Refusals { get; set; }
        public DateTimeOffset NotBefore { get; set; }
        int _lastChunk = -1;

        /// <summary>A number no other chunk of this base has, done or asked for.</summary>
        public int TakeChunkNumber() =>
            _lastChunk = Math.Max(_lastChunk, Done.Count == 0 ? -1 : Done.Max(chunk => chunk.Chunk)) + 1;

        public bool PagesDone => Done.Any(chunk => chunk is { ToPage: null, Keys: false }) && Missing(long.MaxValue, int.MaxValue, []).Count == 0;

        /// <summary>Page ranges not read yet, cut into chunks; the last one is open-ended, since the table grows.</summary>
        public List<(long From, long? To)> Missing(long pages, int chunkPages, IEnumerable<(long From, long? To)> taken)
        {
            var covered = Done.Where(chunk => !chunk.Keys).Select(chunk => (chunk.FromPage, To: chunk.ToPage))
                .Concat(taken).OrderBy(range => range.Item1).ToList();
            var missing = new List<(long, long?)>();
            long at = 0;
            foreach (var (from, to) in covered)
            {
                for (; at < from; at = Math.Min(from, at + chunkPages))
                    missing.Add((at, Math.Min(from, at + chunkPages)));
                if (to is null)
                    return missing;
                at = Math.Max(at, to.Value);
            }
            if (pages == long.MaxValue)
            {
                missing.Add((at, null));
                return missing;
            }
            for (; at + chunkPages < pages; at += chunkPages)
                missing.Add((at, at + chunkPages));
            missing.Add((at, null));
            return missing;
        }
    }

    sealed record Ordered(Base Base, long From, long? To, bool Keys);

    public IReadOnlyCollection<Base> Open => _open.Values;

    public int Outstanding => _ordered.Count;

    public bool IsOpen(int relation) => _open.ContainsKey(relation);

    /// <summary>Begins a base, or begins it anew under the next id.</summary>
    public Base Begin(RelationShape shape, int id, IEnumerable<BaseChunk>? resumeFrom = null, Repair? repair = null)
    {
        End(shape.Number);
        var started = new Base(shape, shape.Oid, id) { Repair = repair };
        started.Done.AddRange(resumeFrom ?? []);
        _open[shape.Number] = started;
        return started;
    }

    public void End(int relation)
    {
        if (_open.Remove(relation, out var ended))
            ended.Repair?.Dispose();
    }

    /// <summary>Capture began anew: it knows none of our orders.</summary>
    public void ForgetOrders()
    {
        _ordered.Clear();
        foreach (var one in _open.Values)
            one.KeysAsked = one.KeysDone;
    }

    /// <summary>The next chunk to read, or null when there is nothing to ask for now.</summary>
    /// <param name="pages">The table's size in heap pages, as last seen.</param>
    /// <param name="told">False while changes of the table go by untold: a base read before would miss them.</param>
    public ReadBaseChunk? Next(Guid epoch, DateTimeOffset now, Func<uint, (long Pages, bool HasKey)> pages, Func<uint, bool> told)
    {
        foreach (var one in _open.Values.Where(one => one.NotBefore <= now && !one.PagesDone && told(one.Oid)))
        {
            if (one.Repair is { } repair)
            {
                if (repair.Rows is null || _ordered.Values.Any(ordered => ordered.Base == one))
                    continue;
                return Compare(epoch, one, repair);
            }
            var (size, hasKey) = pages(one.Oid);
            var taken = _ordered.Values.Where(order => order.Base == one && !order.Keys).Select(order => (order.From, order.To));
            var chunk = hasKey && !one.Whole ? chunkPages : int.MaxValue;
            if (one.Missing(size, chunk, taken) is not [var (from, to), ..])
                continue;
            var order = ++_lastOrder;
            _ordered[order] = new Ordered(one, from, to, Keys: false);
            var fileNode = one.Done.Count > 0 ? one.Done[0].FileNode : 0;
            return new ReadBaseChunk(epoch, order, one.Oid, fileNode, from, to, null);
        }
        return null;
    }

    ReadBaseChunk Compare(Guid epoch, Base one, Repair repair)
    {
        var (ranges, _) = repair.Next(repairRows);
        var number = one.Done.Count(chunk => !chunk.Keys);
        var to = ranges.To is null ? null : (long?)(number + 1);
        var order = ++_lastOrder;
        _ordered[order] = new Ordered(one, number, to, Keys: false);
        return new ReadBaseChunk(epoch, order, one.Oid, one.Done.Count > 0 ? one.Done[0].FileNode : 0, number, to, null) { Ranges = ranges };
    }

    public ReadBaseChunk Keys(Guid epoch, Base one, IReadOnlyList<IReadOnlyList<string>> keys)
    {
        var order = ++_lastOrder;
        (one.KeysAsked, one.Keys) = (true, keys);
        _ordered[order] = new Ordered(one, 0, 0, Keys: true);
        return new ReadBaseChunk(epoch, order, one.Oid, one.Done[0].FileNode, 0, 0, keys);
    }

    public ulong NextOrder() => ++_lastOrder;

    /// <summary>The order is answered or failed. Null when its base was given up meanwhile.</summary>
    public (Base Base, long From, long? To, bool Keys)? Answered(ulong order) =>
        _ordered.Remove(order, out var answered) && _open.GetValueOrDefault(answered.Base.Shape.Number) == answered.Base
            ? (answered.Base, answered.From, answered.To, answered.Keys) : null;

    public (Base Base, bool Keys)? Find(ulong order) =>
        _ordered.TryGetValue(order, out var found) ? (found.Base, found.Keys) : null;
}
