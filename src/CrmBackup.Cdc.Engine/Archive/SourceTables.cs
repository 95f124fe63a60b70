using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Which relation an OID of the stream means, and which shape its tuples have. Numbers and versions are the vault's own.
/// Shapes made inside an open transaction are provisional until it commits; whoever drops the transaction makes this anew.</summary>
sealed class SourceTables
{
    readonly Dictionary<uint, RelationShape> _current = [];
    readonly Dictionary<uint, CatalogTable> _images = [];
    readonly List<RelationShape> _open = [];
    readonly Dictionary<(int, int), RelationShape> _made = [];
    /// <summary>All committed shapes, in the order of their versions.</summary>
    readonly Dictionary<int, List<RelationShape>> _past = [];
    readonly HashSet<uint> _dropped = [];
    readonly Lsn _start;
    readonly HashSet<uint> _told = [];
    /// <summary>What the epoch's first inventory lists, as far as the stream did not end it.</summary>
    readonly HashSet<uint> _listed = [];
    int _lastNumber;

    /// <param name="start">Where the stream begins; none when that does not matter.</param>
    public SourceTables(VaultState state, Lsn start = default)
    {
        _start = start;
        foreach (var shape in state.RelationsAt(new Lsn(ulong.MaxValue)).Values)
            _current[shape.Oid] = shape;
        foreach (var shape in state.Relations)
            Keep(shape);
        _lastNumber = state.Relations.Select(shape => shape.Number).DefaultIfEmpty(0).Max();
    }

    public IEnumerable<RelationShape> Live => _current.Values;

    /// <summary>True when the stream has told the table's end: an inventory taken before may still list it.</summary>
    public bool HasEnded(uint oid) => _dropped.Contains(oid);

    /// <summary>True when the stream has told of the table: an inventory taken before may show it as it was.</summary>
    public bool IsTold(uint oid) => _told.Contains(oid);

    /// <summary>True when the stream has told the relation's beginning: an inventory taken before may not list it.</summary>
    public bool IsNew(RelationShape shape) => _made.ContainsKey((shape.Number, 1));

    public RelationShape? Find(uint oid) => _current.GetValueOrDefault(oid);

    /// <summary>Whether a row that was written at a position and is committed now cannot be read. The server tells it as its types were then, or
    /// as they became since: the latter where it decoded something younger before, and still has that in its caches.</summary>
    public bool IsAmbiguous(uint oid, Lsn written)
    {
        // The open transaction's own shape is its own.
        if (!_current.TryGetValue(oid, out var known) || known.Since <= written || _open.Contains(known) || !_past.TryGetValue(known.Number, out var past))
            return false;
        var then = past.FindLastIndex(shape => shape.Since <= written && !shape.Dropped);
        List<RelationShape> since = [.. past.Skip(Math.Max(then, 0)).Where(shape => SameColumns(shape, known)), known];
        return since.Index().Any(one => since.Skip(one.Index + 1).Any(other =>
            one.Item.Columns.Zip(other.Columns).Any(pair => !ValueRule.TellApart(pair.First.Rule, pair.Second.Rule))));
    }

    /// <summary>Other columns mean another lock: no row came between.</summary>
    static bool SameColumns(RelationShape left, RelationShape right) => left.Columns.Count == right.Columns.Count
        && left.Columns.Zip(right.Columns).All(pair => pair.First.AttNum == pair.Second.AttNum && pair.First.TypeOid == pair.Second.TypeOid);

    public CatalogTable? Image(uint oid) => _images.GetValueOrDefault(oid);

    /// <summary>A shape that no commit names yet; null when the vault must know it.</summary>
    public RelationShape? Shape(int relation, int version) => _made.GetValueOrDefault((relation, version));

    /// <summary>Remembers how the catalog describes a table, without touching its shape.</summary>
    public void Remember(CatalogTable image)
    {
        _images[image.Oid] = image;
        if (!IsCompared)
            _listed.Add(image.Oid);
    }

    /// <summary>The epoch's first inventory was compared: what appears from here on was not there when the stream began.</summary>
    public void Compared() => IsCompared = true;

    public bool IsCompared { get; private set; }

    /// <summary>A Relation frame came: the tuples that follow have this shape.</summary>
    public RelationShape Announce(RelationFrame frame)
    {
        _current.TryGetValue(frame.Oid, out var known);
        if (known is not null && Describes(known, frame))
            return known;
        _told.Add(frame.Oid);
        _images.TryGetValue(frame.Oid, out var image);
        var columns = new ColumnShape[frame.Columns.Count];
        for (var i = 0; i < columns.Length; i++)
            columns[i] = Column(frame.Columns[i], i, known, image, fresh: known is null && image is null);
        return Put(new RelationShape(Number(known), Version(known), Lsn.None, frame.Oid, frame.Schema, frame.Name, frame.Identity, columns));
    }

    /// <summary>The catalog's image of a table at this point of the stream. Returns the shape, and whether the relation is new.</summary>
    public (RelationShape Shape, bool IsNew) Apply(CatalogTable image)
    {
        _images[image.Oid] = image;
        _told.Add(image.Oid);
        _current.TryGetValue(image.Oid, out var known);
        // Rows may come before the command that explains them: the same columns, now with their attnums, are not another version.
        var provisional = known is not null && _open.Contains(known) && image.ToShape(0, 0, Lsn.None).Columns.Select(column =>
            (column.Name, column.TypeOid, column.TypeMod)).SequenceEqual(known.Columns.Select(column => (column.Name, column.TypeOid, column.TypeMod)));
        var shape = image.ToShape(Number(known), provisional ? known!.Version : Version(known), Lsn.None);
        if (known is not null && known.SameAs(shape))
            return (known, false);
        if (provisional)
            _open.Remove(known!);
        return (Put(shape), known is null || (provisional && known.Version == 1));
    }

    /// <summary>The relation ended. Null when it was not ours.</summary>
    public RelationShape? Drop(uint oid)
    {
        _images.Remove(oid);
        _listed.Remove(oid);
        _dropped.Add(oid);
        if (!_current.Remove(oid, out var known))
            return null;
        var dropped = known with { Version = known.Version + 1, Since = Lsn.None, Columns = [], Dropped = true };
        if (_open.RemoveAll(shape => shape.Number == known.Number && shape.Version == 1) > 0 && known.Version == 1)
            dropped = dropped with { Version = 1, Columns = known.Columns };
        _open.Add(dropped);
        return dropped;
    }

    /// <summary>The stream begins with another database, or another history of this one: every relation ended. What has the OID of one is
    /// another.</summary>
    public IReadOnlyList<RelationShape> EndAll(Lsn at)
    {
        foreach (var oid in _current.Keys.ToList())
            Drop(oid);
        _dropped.Clear();
        return Commit(at);
    }

    /// <summary>The open transaction committed: its shapes, now with their position. A relation that the first inventory lists and the
    /// stream did not make was there when the stream began: no state without it is one of the source.</summary>
    /// <param name="made">Numbers of the relations that this transaction made, as far as is known; null = none.</param>
    public IReadOnlyList<RelationShape> Commit(Lsn end, Func<int, bool>? made = null)
    {
        if (_open.Count == 0)
            return [];
        var shapes = _open.Select(shape => shape with
        {
            Since = shape is { Version: 1, Dropped: false } && !IsCompared && _listed.Contains(shape.Oid) && !_start.IsNone && _start < end
                && made?.Invoke(shape.Number) != true ? new Lsn(_start.Value + 1) : end,
        }).ToList();
        _open.Clear();
        foreach (var shape in shapes)
        {
            Keep(shape);
            if (!shape.Dropped)
                _current[shape.Oid] = shape;
        }
        return shapes;
    }

    void Keep(RelationShape shape)
    {
        if (!_past.TryGetValue(shape.Number, out var versions))
            _past[shape.Number] = versions = [];
        versions.Add(shape);
    }

    int Number(RelationShape? known) => known?.Number ?? ++_lastNumber;

    static int Version(RelationShape? known) => known is null ? 1 : known.Version + 1;

    RelationShape Put(RelationShape shape)
    {
        _current[shape.Oid] = shape;
        _made[(shape.Number, shape.Version)] = shape;
        _open.Add(shape);
        return shape;
    }

    static bool Describes(RelationShape shape, RelationFrame frame) =>
        shape.Schema == frame.Schema && shape.Name == frame.Name && shape.Identity == frame.Identity
        && shape.Columns.Count == frame.Columns.Count
        && shape.Columns.Zip(frame.Columns).All(pair =>
            pair.First.Name == pair.Second.Name && pair.First.TypeOid == pair.Second.TypeOid
            && pair.First.TypeMod == pair.Second.TypeMod && pair.First.IsKey == pair.Second.IsKey);

    static ColumnShape Column(RelationFrameColumn column, int index, RelationShape? known, CatalogTable? image, bool fresh)
    {
        if (image?.Columns.FirstOrDefault(other => other.Name == column.Name && other.TypeOid == column.TypeOid) is { } seen)
            return new ColumnShape(seen.AttNum, column.Name, column.TypeOid, column.TypeMod, seen.TypeName, column.IsKey, seen.MissingValue, seen.Rule);
        if (known?.Columns.FirstOrDefault(other => other.Name == column.Name && other.TypeOid == column.TypeOid) is { } before)
            return before with { TypeMod = column.TypeMod, IsKey = column.IsKey };
        // A table that this very transaction created (CREATE TABLE AS sends its rows before the command's end): no column was dropped yet.
        var attNum = fresh ? (short)(index + 1) : (short)0;
        return new ColumnShape(attNum, column.Name, column.TypeOid, column.TypeMod, $"oid {column.TypeOid}", column.IsKey);
    }
}
