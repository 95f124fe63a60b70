using CrmBackup.Cdc.Core;
using ParquetSharp;
using ParquetSharp.Schema;

namespace CrmBackup.Cdc.Vault;

/// <summary>How values of a PostgreSQL type stand in Parquet. A value that its twin cannot give back exactly is not encoded:
/// <see cref="ColumnEncoder.TryAdd"/> says so, and the exact text becomes an exception.</summary>
abstract class ColumnTwin(string name)
{
    /// <summary>As the segment's description names it; <see cref="Named"/> finds it again.</summary>
    public string Name { get; } = name;

    /// <summary>False for floats: both libraries leave NaN out of the bounds, and readers then drop rows.</summary>
    public virtual bool HasStatistics => true;

    public abstract PrimitiveNode Node(string column);

    public abstract ColumnEncoder NewEncoder();

    public abstract ColumnDecoder NewDecoder();

    /// <summary>The same column as the other library reads it.</summary>
    public abstract CrossColumn NewCross(string column);

    public static ColumnTwin For(ColumnShape column) => column.TypeOid switch
    {
        16 => Bool,
        21 => Int2,
        23 => Int4,
        20 => Int8,
        700 => Float4,
        701 => Float8,
        1700 => Decimal(column.TypeMod),
        2950 => Uuid,
        1082 => Date,
        1083 => Time,
        1114 => Timestamp,
        1184 => TimestampTz,
        17 => Bytea,
        114 or 3802 => Json,
        _ => Text,
    };

    /// <summary>The twin that a segment's description names.</summary>
    public static ColumnTwin Named(string name)
    {
        foreach (var twin in new[] { Text, Bool, Int2, Int4, Int8, Float4, Float8, Uuid, Date, Time, Timestamp, TimestampTz, Bytea, Json })
            if (twin.Name == name)
                return twin;
        if (DecimalTwin.TryParseName(name, out var precision, out var scale))
            return DecimalTwin.Of(precision, scale);
        throw new FormatViolationException($"a segment has a column of the unknown kind '{name}'");
    }

    /// <summary>Without a declared precision, or beyond what Parquet's DECIMAL holds, the text is kept.</summary>
    static ColumnTwin Decimal(int typeMod)
    {
        if (typeMod < 4)
            return Text;
        var precision = ((typeMod - 4) >> 16) & 0xFFFF;
        var scale = (((typeMod - 4) & 0x7FF) ^ 1024) - 1024;
        return precision is >= 1 and <= 38 && scale >= 0 && scale <= precision ? DecimalTwin.Of(precision, scale) : Text;
    }

    static readonly ColumnTwin Bool = new NumberTwin<bool, BoolCodec>("bool", PhysicalType.Boolean, LogicalType.None());
    static readonly ColumnTwin Int2 = new NumberTwin<int, IntCodec>("int2", PhysicalType.Int32, LogicalType.Int(16, isSigned: true));
    static readonly ColumnTwin Int4 = new NumberTwin<int, IntCodec>("int4", PhysicalType.Int32, LogicalType.None());
    static readonly ColumnTwin Int8 = new NumberTwin<long, LongCodec>("int8", PhysicalType.Int64, LogicalType.None());
    static readonly ColumnTwin Float4 = new NumberTwin<float, FloatCodec>("float4", PhysicalType.Float, LogicalType.None(), statistics: false);
    static readonly ColumnTwin Float8 = new NumberTwin<double, DoubleCodec>("float8", PhysicalType.Double, LogicalType.None(), statistics: false);
    static readonly ColumnTwin Date = new NumberTwin<int, DateCodec>("date", PhysicalType.Int32, LogicalType.Date());
    static readonly ColumnTwin Time =
        new NumberTwin<long, TimeCodec>("time", PhysicalType.Int64, LogicalType.Time(isAdjustedToUtc: false, TimeUnit.Micros));
    static readonly ColumnTwin Timestamp =
        new NumberTwin<long, TimestampCodec>("timestamp", PhysicalType.Int64, LogicalType.Timestamp(isAdjustedToUtc: false, TimeUnit.Micros));
    static readonly ColumnTwin TimestampTz =
        new NumberTwin<long, TimestampTzCodec>("timestamptz", PhysicalType.Int64, LogicalType.Timestamp(isAdjustedToUtc: true, TimeUnit.Micros));
    static readonly ColumnTwin Uuid = new UuidTwin();
    static readonly ColumnTwin Text = new TextTwin("text", LogicalType.String());
    static readonly ColumnTwin Json = new TextTwin("json", LogicalType.Json());
    static readonly ColumnTwin Bytea = new ByteaTwin();
}

/// <summary>Takes canonical texts and writes them as one typed column of a row group.</summary>
abstract class ColumnEncoder : IDisposable
{
    /// <summary>False when the value would not come back exactly; nothing is added then.</summary>
    /// <param name="address">Where the text stands in pinned memory, until the row group is written.</param>
    public abstract bool TryAdd(ReadOnlySpan<byte> text, nint address);

    public abstract void AddNull();

    public abstract void Write(RowGroupWriter group);

    public abstract void Dispose();
}

/// <summary>Reads one typed column of a row group and gives the canonical texts back.</summary>
abstract class ColumnDecoder : ColumnTexts
{
    public abstract void Read(RowGroupReader group, int column, int rows);
}
