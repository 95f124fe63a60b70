using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>The one layout in which a fold keeps rows, whatever shape they came in: first the target's columns, in its order, then those
/// that only keys or older identities need. Columns are found by attnum; by name only where no attnum was captured.</summary>
sealed class WorkingLayout
{
    readonly List<long> _columns;
    readonly Dictionary<int, TupleMap> _maps = [];
    readonly Dictionary<int, TupleConversion?> _conversions = [];
    readonly Dictionary<int, RelationShape> _shapes;
    readonly Dictionary<(int Version, int Index), long> _ids;

    /// <param name="shapes">All versions, in order, up to the target's.</param>
    /// <param name="first">The oldest version that rows or events can have.</param>
    public WorkingLayout(RelationShape target, IReadOnlyList<RelationShape> shapes, int first)
    {
        _shapes = shapes.ToDictionary(shape => shape.Version);
        _ids = Identify(shapes);
        Target = target;
        _columns = [.. target.Columns.Select((_, index) => _ids[(target.Version, index)])];
        var used = shapes.Where(shape => shape.Version >= first).ToList();
        First = used[0];
        Eras = [.. used.Select(Era).Distinct()];
        // Rows of a keyless table compare by what is left of them at the target; keys must be kept although dropped later.
        var extra = Eras.Count > 1
            ? used.SelectMany(shape => shape.Columns.Select((_, index) => _ids[(shape.Version, index)]))
            : used.Where(shape => shape.HasKey).SelectMany(KeyIds);
        foreach (var id in extra)
            if (!_columns.Contains(id))
                _columns.Add(id);
        foreach (var shape in shapes)
        {
            _maps.Add(shape.Version, Map(shape, shapes));
            _conversions.Add(shape.Version, Conversion(shape, shapes));
        }
    }

    public RelationShape Target { get; }

    public RelationShape First { get; }

    /// <summary>The ways in which updates and deletes name their row, one after the other: one, but for tables whose identity changed.</summary>
    public IReadOnlyList<string> Eras { get; }

    public RelationShape Shape(int version) => _shapes.TryGetValue(version, out var shape)
        ? shape : throw new FormatViolationException($"{Target.FullName} has rows of shape {version}, which is not one of its shapes up to {Target.Version}");

    public string Era(RelationShape shape) => shape.HasKey ? "key " + string.Join(',', KeyIds(shape)) : "row";

    /// <summary>Makes the texts of a shape's tuples what the target writes; null when they are.</summary>
    public TupleConversion? ConversionOf(int version) => _conversions[Shape(version).Version];

    public TupleMap MapOf(int version) => _maps[Shape(version).Version];

    /// <summary>Where a shape's key columns stand in its own tuples, and in working rows: in the order of their identities.</summary>
    public KeyColumns KeyOf(RelationShape shape)
    {
        var ids = KeyIds(shape).ToList();
        return new KeyColumns(
            [.. ids.Select(id => Enumerable.Range(0, shape.Columns.Count).First(index => _ids[(shape.Version, index)] == id))],
            [.. ids.Select(id => _columns.IndexOf(id))]);
    }

    /// <summary>Working columns that a shape does not have any more: they are NULL from it on.</summary>
    public bool[] Vanished(RelationShape shape) =>
        [.. _columns.Select(id => !Has(shape, id) && _shapes.Values.All(later => later.Version < shape.Version || !Has(later, id)))];

    bool Has(RelationShape shape, long id) => Enumerable.Range(0, shape.Columns.Count).Any(index => _ids[(shape.Version, index)] == id);

    IEnumerable<long> KeyIds(RelationShape shape) =>
        shape.Columns.Select((column, index) => (column.IsKey, Id: _ids[(shape.Version, index)]))
            .Where(column => column.IsKey).Select(column => column.Id).Order();

    TupleMap Map(RelationShape shape, IReadOnlyList<RelationShape> shapes)
    {
        var sources = new int[_columns.Count];
        var missing = new byte[]?[_columns.Count];
        for (var i = 0; i < sources.Length; i++)
        {
            sources[i] = -1;
            for (var index = 0; index < shape.Columns.Count; index++)
                if (_ids[(shape.Version, index)] == _columns[i])
                    sources[i] = index;
            if (sources[i] < 0)
                missing[i] = Missing(shape, _columns[i], shapes);
        }
        return new TupleMap(sources, missing, shape.Columns.Count);
    }

    TupleConversion? Conversion(RelationShape shape, IReadOnlyList<RelationShape> shapes)
    {
        var columns = new ValueConversion?[shape.Columns.Count];
        for (var index = 0; index < columns.Length; index++)
        {
            var id = _ids[(shape.Version, index)];
            columns[index] = ValueConversion.Between([.. Of(id, shapes.Where(one => one.Version <= shape.Version).Reverse())], Later(shape, index, shapes));
        }
        return columns.All(column => column is null) ? null : new TupleConversion(columns);
    }

    /// <summary>The column in the shapes after one, up to where it was rewritten as another type. What was written before that is told as the last shape
    /// before it does: events of then still have to find their rows, though all of them are void soon after.</summary>
    List<ColumnShape> Later(RelationShape shape, int index, IReadOnlyList<RelationShape> shapes)
    {
        var later = new List<ColumnShape>();
        foreach (var column in Of(_ids[(shape.Version, index)], shapes.Where(one => one.Version > shape.Version)))
        {
            if (!ValueConversion.IsKnown(later is [.., var last] ? last : shape.Columns[index], column))
                break;
            later.Add(column);
        }
        return later;
    }

    IEnumerable<ColumnShape> Of(long id, IEnumerable<RelationShape> shapes) =>
        shapes.SelectMany(shape => shape.Columns.Where((_, index) => _ids[(shape.Version, index)] == id));

    /// <summary>What rows of an older shape read in a column added later: the missing value of the first shape that has it. A rewrite
    /// clears the catalog's missing value, but then all older rows are void.</summary>
    byte[]? Missing(RelationShape shape, long id, IReadOnlyList<RelationShape> shapes)
    {
        foreach (var later in shapes.Where(later => later.Version > shape.Version))
            for (var index = 0; index < later.Columns.Count; index++)
                if (_ids[(later.Version, index)] == id)
                    return later.Columns[index].MissingValue is { } text ? Encoding.UTF8.GetBytes(Told(text, later, index, shapes)) : null;
        return null;
    }

    string Told(string text, RelationShape shape, int index, IReadOnlyList<RelationShape> shapes) =>
        ValueConversion.Between([shape.Columns[index]], Later(shape, index, shapes))?.Convert(text) ?? text;

    static Dictionary<(int, int), long> Identify(IReadOnlyList<RelationShape> shapes)
    {
        var ids = new Dictionary<(int, int), long>();
        var unnamed = new Dictionary<string, long>();
        foreach (var shape in shapes)
            for (var index = 0; index < shape.Columns.Count; index++)
            {
                var column = shape.Columns[index];
                if (column.AttNum > 0)
                    ids[(shape.Version, index)] = column.AttNum;
            }
        foreach (var shape in shapes)
            for (var index = 0; index < shape.Columns.Count; index++)
            {
                var name = shape.Columns[index].Name;
                if (ids.ContainsKey((shape.Version, index)))
                    continue;
                var twin = shapes.Where(other => other.Columns.Any(column => column.Name == name && column.AttNum > 0))
                    .OrderBy(other => Math.Abs(other.Version - shape.Version)).FirstOrDefault();
                if (twin is not null)
                    ids[(shape.Version, index)] = twin.Columns.First(column => column.Name == name && column.AttNum > 0).AttNum;
                else if (unnamed.TryGetValue(name, out var id))
                    ids[(shape.Version, index)] = id;
                else
                    ids[(shape.Version, index)] = unnamed[name] = -1 - unnamed.Count;
            }
        return ids;
    }
}

/// <param name="InTuple">Indexes in tuples of the shape.</param>
/// <param name="InRow">Indexes in working rows.</param>
sealed record KeyColumns(int[] InTuple, int[] InRow);

/// <summary>Rewrites tuples of one shape into the working layout.</summary>
sealed class TupleMap(int[] sources, byte[]?[] missing, int columns)
{
    readonly bool _identity = sources.Length == columns && sources.Select((source, index) => source == index).All(same => same);
    readonly TupleWriter _writer = new();
    (int Start, int Length, ColumnState State)[] _parts = new (int, int, ColumnState)[columns];

    /// <summary>The working row; valid until the next call, and no longer than the tuple.</summary>
    public ReadOnlySpan<byte> ToRow(ReadOnlySpan<byte> tuple)
    {
        var reader = new TupleReader(tuple);
        if (reader.Count != columns)
            throw new FormatViolationException($"a tuple has {reader.Count} columns, its shape has {columns}");
        if (_identity)
            return tuple;
        for (var i = 0; i < columns; i++)
        {
            var state = reader.Next(out var text);
            _parts[i] = (reader.Consumed - text.Length, text.Length, state);
        }
        _writer.Begin();
        for (var i = 0; i < sources.Length; i++)
        {
            if (sources[i] < 0)
            {
                if (missing[i] is { } text)
                    _writer.Text(text);
                else
                    _writer.Null();
                continue;
            }
            var (start, length, state) = _parts[sources[i]];
            _writer.Column(state, tuple.Slice(start, length));
        }
        return _writer.End();
    }
}
