using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;

namespace CrmBackup.Cdc.Tests;

/// <summary>One table in a naive database with MVCC: row versions on pages, transactions whose commit order and order of becoming visible
/// differ, row locks, TOASTed values that updates do not carry, DDL. It tells the events that the stream would, takes chunked bases under
/// real snapshots, and knows the truth at every position.</summary>
sealed class FoldWorld(int seed, bool keyed)
{
    public const int Pages = 8;

    sealed class Version
    {
        public required int RowId;
        public required Dictionary<short, string?> Values;
        public required ulong Xmin;
        public ulong Xmax;
        public required int Page;
    }

    sealed class Transaction
    {
        public required ulong Xid;
        public List<ChangeEvent> Events = [];
        public HashSet<string> Keys = [];
        public HashSet<int> Rows = [];
        public Lsn Commit;
        public bool Visible;
    }

    public sealed record BaseRead(int Shape, Snapshot Snapshot, List<byte[]> Rows);

    readonly Random _random = new(seed);
    readonly List<Version> _versions = [];
    readonly List<Transaction> _open = [];
    readonly Dictionary<ulong, Transaction> _all = [];
    readonly TupleWriter _writer = new();
    ulong _nextXid = 700;
    ulong _nextLsn = 1000;
    int _nextRow;
    int _nextText;
    short _nextAttNum = 4;

    public List<RelationShape> Shapes { get; } = [NewShape(1, keyed ? ReplicaIdentity.Default : ReplicaIdentity.Full, keyed,
    [
        new ColumnShape(1, "id", 23, -1, "integer", keyed), new ColumnShape(2, "n", 23, -1, "integer", false),
        new ColumnShape(3, "doc", 25, -1, "text", false),
    ])];

    public RelationShape Shape => Shapes[^1];
    public List<ChangeEvent> Events { get; } = [];
    public List<BaseRead> Chunks { get; } = [];

    public Lsn Now => new(_nextLsn);

    static RelationShape NewShape(int version, ReplicaIdentity identity, bool keyed, IReadOnlyList<ColumnShape> columns, ulong since = 1) =>
        new(1, version, new Lsn(since), 4711, "public", "t", identity, [.. columns.Select(column =>
            column with { IsKey = identity == ReplicaIdentity.Full || (keyed && column.IsKey) })]);

    public void Steps(int count, bool ddl = false, bool swaps = false)
    {
        for (var i = 0; i < count; i++)
            Step(ddl, swaps);
    }

    void Step(bool ddl, bool swaps)
    {
        var choice = _random.Next(100);
        if (choice < 18 && _open.Count(transaction => transaction.Commit.IsNone) < 4)
        {
            var begun = new Transaction { Xid = _nextXid++ };
            _open.Add(begun);
            _all.Add(begun.Xid, begun);
        }
        else if (choice < 34 && Pick(_open.Where(transaction => transaction.Commit.IsNone)) is { } ending)
            Commit(ending);
        else if (choice < 50 && Pick(_open.Where(transaction => !transaction.Commit.IsNone)) is { } seen)
            BecomeVisible(seen);
        else if (choice < 53 && ddl)
            Ddl();
        else if (choice < 57 && swaps && Shape.HasKey && Pick(_open.Where(transaction => transaction.Commit.IsNone)) is { } swapping)
            Swap(swapping);
        else if (Pick(_open.Where(transaction => transaction.Commit.IsNone)) is { } working)
            Work(working);
    }

    /// <summary>Everything that is open commits and becomes visible.</summary>
    public void Quiesce()
    {
        foreach (var transaction in _open.Where(transaction => transaction.Commit.IsNone).ToList())
            Commit(transaction);
        foreach (var transaction in _open.ToList())
            BecomeVisible(transaction);
    }

    void Commit(Transaction transaction)
    {
        transaction.Commit = new Lsn(_nextLsn += (ulong)_random.Next(8, 40));
        foreach (var change in transaction.Events)
            Events.Add(change with { CommitLsn = transaction.Commit });
    }

    void BecomeVisible(Transaction transaction)
    {
        transaction.Visible = true;
        _open.Remove(transaction);
    }

    void Work(Transaction transaction)
    {
        var rows = Current(transaction.Xid).Where(version => !Locked(version, transaction)).ToList();
        var choice = _random.Next(100);
        if (rows.Count == 0 || choice < 30)
            Insert(transaction);
        else if (choice < 75)
            Update(transaction, Pick(rows)!, changeKey: false);
        else if (choice < 88)
            Update(transaction, Pick(rows)!, changeKey: true);
        else
            Delete(transaction, Pick(rows)!);
    }

    void Insert(Transaction transaction)
    {
        var values = Shape.Columns.ToDictionary(column => column.AttNum, column => NewValue(column));
        if (keyed && !Free(values, transaction))
            return;
        transaction.Keys.Add(Key(values));
        var version = new Version { RowId = _nextRow++, Values = values, Xmin = transaction.Xid, Page = _random.Next(Pages) };
        transaction.Rows.Add(version.RowId);
        _versions.Add(version);
        Emit(transaction, EventKind.Insert, OldTupleKind.None, default, Tuple(values, Shape));
    }

    void Update(Transaction transaction, Version old, bool changeKey)
    {
        var values = new Dictionary<short, string?>(Materialised(old, Shape));
        foreach (var column in Shape.Columns)
            if (column.IsKey && Shape.HasKey ? changeKey : _random.Next(3) == 0)
                values[column.AttNum] = NewValue(column);
        if (keyed && values[1] != Materialised(old, Shape)[1] && !Free(values, transaction))
            return;
        Replace(transaction, old, values);
    }

    void Replace(Transaction transaction, Version old, Dictionary<short, string?> values)
    {
        var before = Materialised(old, Shape);
        transaction.Keys.Add(Key(before));
        transaction.Keys.Add(Key(values));
        transaction.Rows.Add(old.RowId);
        old.Xmax = transaction.Xid;
        _versions.Add(new Version { RowId = old.RowId, Values = values, Xmin = transaction.Xid, Page = _random.Next(Pages) });
        var kind = !Shape.HasKey ? OldTupleKind.Full : Key(before) != Key(values) ? OldTupleKind.Key : OldTupleKind.None;
        Emit(transaction, EventKind.Update, kind, OldTuple(kind, before), Tuple(values, Shape, column =>
            IsToast(column) && values[column.AttNum] is { Length: > 8 } && before[column.AttNum] == values[column.AttNum]));
    }

    void Delete(Transaction transaction, Version old)
    {
        var before = Materialised(old, Shape);
        transaction.Keys.Add(Key(before));
        transaction.Rows.Add(old.RowId);
        old.Xmax = transaction.Xid;
        var kind = Shape.HasKey ? OldTupleKind.Key : OldTupleKind.Full;
        Emit(transaction, EventKind.Delete, kind, OldTuple(kind, before), default);
    }

    /// <summary>Two rows exchange their keys within one transaction, as a key that is checked late allows.</summary>
    void Swap(Transaction transaction)
    {
        var rows = Current(transaction.Xid).Where(version => !Locked(version, transaction)).ToList();
        if (rows.Count < 2)
            return;
        var one = Pick(rows)!;
        var other = Pick(rows.Where(row => row != one))!;
        var (left, right) = (Materialised(one, Shape), Materialised(other, Shape));
        Replace(transaction, one, Exchanged(left, right));
        Replace(transaction, other, Exchanged(right, left));
        Dictionary<short, string?> Exchanged(Dictionary<short, string?> row, Dictionary<short, string?> keys) =>
            Shape.Columns.ToDictionary(column => column.AttNum, column => (column.IsKey ? keys : row)[column.AttNum]);
    }

    /// <summary>Takes an exclusive lock: every writer is done and visible before.</summary>
    void Ddl()
    {
        Quiesce();
        var transaction = new Transaction { Xid = _nextXid++ };
        _all.Add(transaction.Xid, transaction);
        var columns = Shape.Columns.ToList();
        var identity = Shape.Identity;
        switch (_random.Next(6))
        {
            case 0:
                columns.Add(new ColumnShape(_nextAttNum++, $"added{_nextAttNum}", 25, -1, "text", false,
                    _random.Next(2) == 0 ? $"missing{_nextAttNum}" : null));
                break;
            case 1 when columns.Exists(column => column.AttNum > 3):
                columns.Remove(columns.First(column => column.AttNum > 3));
                break;
            case 2:
                foreach (var version in Current(transaction.Xid).ToList())
                    version.Xmax = transaction.Xid;
                Emit(transaction, EventKind.Truncate, OldTupleKind.None, default, default);
                break;
            case 3:
                RewriteAll(transaction);
                break;
            case 4 when keyed && IdentityChanges:
                identity = identity == ReplicaIdentity.Full ? ReplicaIdentity.Default : ReplicaIdentity.Full;
                break;
            default:
                columns[1] = columns[1] with { Name = $"renamed{_nextText++}" };
                break;
        }
        var now = identity == Shape.Identity ? columns : [.. columns.Select(column => column with { IsKey = column.AttNum == 1 })];
        Commit(transaction);
        Shapes.Add(NewShape(Shape.Version + 1, identity, keyed, now, transaction.Commit.Value));
        transaction.Visible = true;
    }

    public bool IdentityChanges { get; init; }

    /// <summary>Re-emits what a rewrite left, with other values.</summary>
    void RewriteAll(Transaction transaction)
    {
        var rows = Current(transaction.Xid).ToList();
        Emit(transaction, EventKind.Rewrite, OldTupleKind.None, default, default);
        foreach (var old in rows)
        {
            var values = new Dictionary<short, string?>(Materialised(old, Shape)) { [2] = $"{_nextText++}" };
            old.Xmax = transaction.Xid;
            _versions.Add(new Version { RowId = old.RowId, Values = values, Xmin = transaction.Xid, Page = _random.Next(Pages) });
            Emit(transaction, EventKind.Insert, OldTupleKind.None, default, Tuple(values, Shape));
        }
    }

    public Snapshot TakeSnapshot()
    {
        var running = _open.Where(transaction => !transaction.Visible).Select(transaction => transaction.Xid).Order().ToList();
        var xmax = _nextXid;
        return Snapshot.Parse($"{(running.Count > 0 ? running[0] : xmax)}:{xmax}:{string.Join(',', running)}");
    }

    /// <summary>Reads pages [from, to) under a snapshot of its own.</summary>
    public void ReadChunk(int from, int to)
    {
        var snapshot = TakeSnapshot();
        Chunks.Add(new BaseRead(Shape.Version, snapshot, [.. Seen(snapshot)
            .Where(version => version.Page >= from && version.Page < to).Select(version => Tuple(Materialised(version, Shape), Shape))]));
    }

    /// <summary>Re-reads by key every row that an event since the oldest chunk updated without carrying all values.</summary>
    public void ReadRepairChunk()
    {
        var snapshot = TakeSnapshot();
        var oldest = Chunks[0].Snapshot;
        var keys = _all.Values.Where(transaction => !transaction.Commit.IsNone && !oldest.Sees(transaction.Xid))
            .SelectMany(transaction => transaction.Events).Where(change => change.Kind == EventKind.Update)
            .Select(change => FirstText(change.NewTuple.Span)).ToHashSet();
        Chunks.Add(new BaseRead(Shape.Version, snapshot, [.. Seen(snapshot).Where(version => keys.Contains(version.Values[1]!))
            .Select(version => Tuple(Materialised(version, Shape), Shape))]));
    }

    public FoldInput Input(RelationShape target, Func<Lsn, ulong, bool> includes) => new()
    {
        Target = target,
        Shapes = [.. Shapes.Where(shape => shape.Version <= target.Version)],
        Chunks = [.. Chunks.Select(chunk => new FoldChunk(chunk.Shape, chunk.Snapshot, () => chunk.Rows.Select(row => (ReadOnlyMemory<byte>)row)))],
        Events = () => Events,
        Includes = includes,
    };

    public List<string> TruthAt(Lsn at, RelationShape target) =>
        Truth(xid => _all[xid].Commit is { IsNone: false } commit && commit <= at, target);

    public List<string> TruthSeenBy(Snapshot snapshot, RelationShape target) => Truth(snapshot.Sees, target);

    List<string> Truth(Func<ulong, bool> sees, RelationShape target) =>
        [.. _versions.Where(version => sees(version.Xmin) && (version.Xmax == 0 || !sees(version.Xmax)))
            .Select(version => Convert.ToHexString(Tuple(Materialised(version, target), target))).Order(StringComparer.Ordinal)];

    IEnumerable<Version> Seen(Snapshot snapshot) =>
        _versions.Where(version => snapshot.Sees(version.Xmin) && (version.Xmax == 0 || !snapshot.Sees(version.Xmax)));

    IEnumerable<Version> Current(ulong own) =>
        _versions.Where(version => version.Xmax == 0 && (version.Xmin == own || _all[version.Xmin].Visible));

    bool Locked(Version version, Transaction own) =>
        _open.Any(other => other != own && (other.Rows.Contains(version.RowId) || other.Keys.Contains(Key(Materialised(version, Shape)))));

    bool Free(Dictionary<short, string?> values, Transaction own)
    {
        var key = Key(values);
        return !_open.Any(other => other != own && other.Keys.Contains(key))
            && !_versions.Any(version => version.Xmax == 0 && version.Values[1] == values[1]);
    }

    Dictionary<short, string?> Materialised(Version version, RelationShape shape) =>
        shape.Columns.ToDictionary(column => column.AttNum, column =>
            version.Values.TryGetValue(column.AttNum, out var value) ? value : column.MissingValue);

    static string Key(Dictionary<short, string?> values) => values[1]!;

    static bool IsToast(ColumnShape column) => column.TypeOid == 25;

    string? NewValue(ColumnShape column) => column.AttNum switch
    {
        1 => $"{_random.Next(keyed ? 30 : 4)}",
        2 => keyed ? $"{_nextText++}" : $"{_random.Next(3)}",
        _ => _random.Next(4) switch
        {
            0 => null,
            1 => "short",
            _ => $"a long document number {(keyed ? _nextText++ : _random.Next(3))}",
        },
    };

    void Emit(Transaction transaction, EventKind kind, OldTupleKind oldKind, byte[]? old, byte[]? fresh) =>
        transaction.Events.Add(new ChangeEvent(Lsn.None, default, transaction.Xid, transaction.Events.Count, kind, 1, Shape.Version,
            oldKind, old, fresh));

    byte[] OldTuple(OldTupleKind kind, Dictionary<short, string?> values)
    {
        if (kind == OldTupleKind.None)
            return [];
        _writer.Begin();
        foreach (var column in Shape.Columns)
            if (kind == OldTupleKind.Key && !column.IsKey || values[column.AttNum] is not { } text)
                _writer.Null();
            else
                _writer.Text(Encoding.UTF8.GetBytes(text));
        return _writer.End().ToArray();
    }

    byte[] Tuple(Dictionary<short, string?> values, RelationShape shape, Func<ColumnShape, bool>? unchanged = null)
    {
        _writer.Begin();
        foreach (var column in shape.Columns)
            if (unchanged?.Invoke(column) == true)
                _writer.Unchanged();
            else if (values[column.AttNum] is { } text)
                _writer.Text(Encoding.UTF8.GetBytes(text));
            else
                _writer.Null();
        return _writer.End().ToArray();
    }

    static string FirstText(ReadOnlySpan<byte> tuple)
    {
        var reader = new TupleReader(tuple);
        reader.Next(out var text);
        return Encoding.UTF8.GetString(text);
    }

    T? Pick<T>(IEnumerable<T> from) where T : class
    {
        var list = from.ToList();
        return list.Count == 0 ? null : list[_random.Next(list.Count)];
    }
}
