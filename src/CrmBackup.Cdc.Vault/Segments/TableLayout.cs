using CrmBackup.Cdc.Core;
using ParquetSharp;
using ParquetSharp.Schema;

namespace CrmBackup.Cdc.Vault;

/// <summary>Names of the columns that are ours in table segments.</summary>
static class MetadataColumn
{
    public const string Op = "_op";
    public const string CommitLsn = "_commit_lsn";
    public const string CommitTime = "_commit_time";
    public const string Xid = "_xid";
    public const string Seq = "_seq";
    public const string Unchanged = "_unchanged";
    public const string OldKind = "_old_kind";
    public const string Old = "_old";
    public const string Exceptions = "_exceptions";
    public const string Row = "_row";
    /// <summary>A key column's value before the event: this and the column's name.</summary>
    public const string OldPrefix = "_old_";

    public static byte Letter(ReadOnlySpan<byte> text) => text is [var letter]
        ? letter
        : throw new FormatViolationException("a row's _op or _old_kind is not one letter");
}

/// <summary>Which Parquet columns a table segment has, and in which order: the user's, ours, and in changes segments the old key.
/// A user column whose name is ours, or taken (in any case), loses its first underscores and gets its attnum: <c>_op</c> becomes
/// <c>op_3</c>.</summary>
sealed class TableLayout
{
    readonly List<SegmentColumn> _columns;

    TableLayout(SegmentKind kind, RelationShape shape, IEnumerable<SegmentColumn> columns)
    {
        Kind = kind;
        Shape = shape;
        _columns = [.. columns];
        Twins = [.. _columns.Select(column => ColumnTwin.Named(column.Twin))];
    }

    public SegmentKind Kind { get; }

    public RelationShape Shape { get; }

    /// <summary>In the order of the tuples.</summary>
    public IReadOnlyList<SegmentColumn> Columns => _columns;

    public IReadOnlyList<ColumnTwin> Twins { get; }

    /// <summary>Parquet cannot hold rows without a column.</summary>
    public bool NumbersRows => Kind == SegmentKind.Base && Columns.Count == 0;

    public static TableLayout New(SegmentKind kind, RelationShape shape)
    {
        var taken = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        string Free(string name, short attNum)
        {
            var free = $"{name.TrimStart('_')}_{attNum}";
            while (!taken.Add(free))
                free = $"{free}_{attNum}";
            return free;
        }
        var columns = shape.Columns.Select(column => new SegmentColumn(
            column.AttNum,
            !IsOurs(column.Name) && taken.Add(column.Name) ? column.Name : Free(column.Name, column.AttNum),
            ColumnTwin.For(column).Name)).ToList();
        if (kind == SegmentKind.Changes)
            for (var i = 0; i < columns.Count; i++)
                if (shape.Columns[i].IsKey)
                    columns[i] = columns[i] with { OldColumn = MetadataColumn.OldPrefix + columns[i].Column };
        return new TableLayout(kind, shape, columns);
    }

    /// <summary>The layout that a segment says it has.</summary>
    public static TableLayout Of(SegmentDescription description) =>
        description is { Relations: [var shape], Columns: { } columns } && columns.Count == shape.Columns.Count
            ? new TableLayout(description.Kind, shape, columns)
            : throw new FormatViolationException($"a {description.Kind} segment does not say what its columns are");

    public GroupNode Node() => new("schema", Repetition.Required, [.. Nodes()]);

    IEnumerable<Node> Nodes()
    {
        for (var i = 0; i < Columns.Count; i++)
            yield return Twins[i].Node(Columns[i].Column);
        if (Kind == SegmentKind.Changes)
        {
            yield return Own(MetadataColumn.Op, PhysicalType.ByteArray, LogicalType.String());
            yield return Own(MetadataColumn.CommitLsn, PhysicalType.Int64, LogicalType.None());
            yield return Own(MetadataColumn.CommitTime, PhysicalType.Int64, LogicalType.Timestamp(isAdjustedToUtc: true, TimeUnit.Micros));
            yield return Own(MetadataColumn.Xid, PhysicalType.Int64, LogicalType.None());
            yield return Own(MetadataColumn.Seq, PhysicalType.Int32, LogicalType.None());
            yield return Own(MetadataColumn.Unchanged, PhysicalType.ByteArray, LogicalType.Json(), Repetition.Optional);
            yield return Own(MetadataColumn.OldKind, PhysicalType.ByteArray, LogicalType.String(), Repetition.Optional);
            for (var i = 0; i < Columns.Count; i++)
                if (Columns[i].OldColumn is { } old)
                    yield return Twins[i].Node(old);
            yield return Own(MetadataColumn.Old, PhysicalType.ByteArray, LogicalType.None(), Repetition.Optional);
        }
        yield return Own(MetadataColumn.Exceptions, PhysicalType.ByteArray, LogicalType.Json(), Repetition.Optional);
        if (NumbersRows)
            yield return Own(MetadataColumn.Row, PhysicalType.Int64, LogicalType.None());
    }

    public WriterProperties Properties()
    {
        using var builder = new WriterPropertiesBuilder();
        builder.Compression(Compression.Zstd).CompressionLevel(1).SetMaxStatisticsSize(256);
        // Whole rows as they came: each is another one, and to look for twins costs more than to write them.
        builder.DisableDictionary(new ColumnPath([MetadataColumn.Old])).DisableStatistics(new ColumnPath([MetadataColumn.Old]));
        for (var i = 0; i < Columns.Count; i++)
            if (!Twins[i].HasStatistics)
            {
                builder.DisableStatistics(new ColumnPath([Columns[i].Column]));
                if (Columns[i].OldColumn is { } old)
                    builder.DisableStatistics(new ColumnPath([old]));
            }
        return builder.Build();
    }

    static PrimitiveNode Own(string name, PhysicalType physical, LogicalType logical, Repetition repetition = Repetition.Required) =>
        new(name, repetition, logical, physical);

    /// <summary>Ours, or what ours could become in a later format.</summary>
    static bool IsOurs(string name) =>
        name.StartsWith(MetadataColumn.OldPrefix, StringComparison.OrdinalIgnoreCase)
        || Reserved.Contains(name);

    static readonly HashSet<string> Reserved = new(StringComparer.OrdinalIgnoreCase)
    {
        MetadataColumn.Op, MetadataColumn.CommitLsn, MetadataColumn.CommitTime, MetadataColumn.Xid, MetadataColumn.Seq,
        MetadataColumn.Unchanged, MetadataColumn.OldKind, MetadataColumn.Old, MetadataColumn.Exceptions, MetadataColumn.Row,
    };
}
