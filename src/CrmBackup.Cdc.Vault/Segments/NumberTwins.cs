using System.Globalization;
using CrmBackup.Cdc.Core;
using ParquetSharp;
using ParquetSharp.Schema;

namespace CrmBackup.Cdc.Vault;

/// <summary>Canonical text to value and back. Formatting a parsed value need not give the text back: the encoder compares.</summary>
interface IValueCodec<T>
{
    bool TryParse(ReadOnlySpan<byte> text, out T value);

    /// <param name="target">At least 64 bytes.</param>
    /// <returns>Bytes written.</returns>
    int Format(T value, Span<byte> target);
}

/// <summary>A type whose Parquet value is one number.</summary>
sealed class NumberTwin<T, TCodec>(
    string name, PhysicalType physical, LogicalType logical, bool statistics = true, TCodec codec = default) : ColumnTwin(name)
    where T : unmanaged, IEquatable<T>
    where TCodec : struct, IValueCodec<T>
{
    public override bool HasStatistics => statistics;

    public override PrimitiveNode Node(string column) => new(column, Repetition.Optional, logical, physical);

    public override ColumnEncoder NewEncoder() => new Encoder(codec);

    public override ColumnDecoder NewDecoder() => new Decoder(codec);

    public override CrossColumn NewCross(string column) => new CrossNumbers<T, TCodec>(column, nullable: true, codec);

    sealed class Encoder(TCodec codec) : ColumnEncoder
    {
        readonly ColumnBuilder<T> _values = new(nullable: true);

        public override bool TryAdd(ReadOnlySpan<byte> text, nint address)
        {
            if (!codec.TryParse(text, out var value))
                return false;
            Span<byte> back = stackalloc byte[64];
            if (!text.SequenceEqual(back[..codec.Format(value, back)]))
                return false;
            _values.Add(value);
            return true;
        }

        public override void AddNull() => _values.AddNull();

        public override void Write(RowGroupWriter group) => _values.Write(group);

        public override void Dispose() => _values.Dispose();
    }

    sealed class Decoder(TCodec codec) : ColumnDecoder
    {
        readonly NumbersColumn<T> _values = new();
        readonly byte[] _text = new byte[64];

        public override void Read(RowGroupReader group, int column, int rows) => _values.Read(group, column, rows);

        public override bool IsNull(int row) => _values.IsNull(row);

        public override ReadOnlySpan<byte> Text(int row) => _text.AsSpan(0, codec.Format(_values[row], _text));
    }
}

readonly struct BoolCodec : IValueCodec<bool>
{
    public bool TryParse(ReadOnlySpan<byte> text, out bool value)
    {
        value = text.SequenceEqual("t"u8);
        return text.Length == 1;
    }

    public int Format(bool value, Span<byte> target)
    {
        target[0] = value ? (byte)'t' : (byte)'f';
        return 1;
    }
}

readonly struct IntCodec : IValueCodec<int>
{
    public bool TryParse(ReadOnlySpan<byte> text, out int value) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value);

    public int Format(int value, Span<byte> target)
    {
        value.TryFormat(target, out var written, default, CultureInfo.InvariantCulture);
        return written;
    }
}

readonly struct LongCodec : IValueCodec<long>
{
    public bool TryParse(ReadOnlySpan<byte> text, out long value) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value);

    public int Format(long value, Span<byte> target)
    {
        value.TryFormat(target, out var written, default, CultureInfo.InvariantCulture);
        return written;
    }
}

readonly struct FloatCodec : IValueCodec<float>
{
    public bool TryParse(ReadOnlySpan<byte> text, out float value)
    {
        var parsed = float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value);
        // .NET's own NaN is negative, which other programs print.
        value = float.IsNaN(value) ? BitConverter.Int32BitsToSingle(0x7FC0_0000) : value;
        return parsed;
    }

    public int Format(float value, Span<byte> target) => FloatText.Format(value, target);
}

readonly struct DoubleCodec : IValueCodec<double>
{
    public bool TryParse(ReadOnlySpan<byte> text, out double value)
    {
        var parsed = double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out value);
        value = double.IsNaN(value) ? BitConverter.Int64BitsToDouble(0x7FF8_0000_0000_0000) : value;
        return parsed;
    }

    public int Format(double value, Span<byte> target) => FloatText.Format(value, target);
}

readonly struct DateCodec : IValueCodec<int>
{
    public bool TryParse(ReadOnlySpan<byte> text, out int value) => TimeText.TryParseDate(text, out value);

    public int Format(int value, Span<byte> target) => TimeText.FormatDate(value, target);
}

readonly struct TimeCodec : IValueCodec<long>
{
    public bool TryParse(ReadOnlySpan<byte> text, out long value) => TimeText.TryParseTime(text, out value);

    public int Format(long value, Span<byte> target) => TimeText.FormatTime(value, target);
}

readonly struct TimestampCodec : IValueCodec<long>
{
    public bool TryParse(ReadOnlySpan<byte> text, out long value) => TimeText.TryParseTimestamp(text, out value);

    public int Format(long value, Span<byte> target) => TimeText.FormatTimestamp(value, target);
}

readonly struct TimestampTzCodec : IValueCodec<long>
{
    public bool TryParse(ReadOnlySpan<byte> text, out long value)
    {
        value = 0;
        return text.EndsWith("+00"u8) && TimeText.TryParseTimestamp(text[..^3], out value);
    }

    public int Format(long value, Span<byte> target)
    {
        var length = TimeText.FormatTimestamp(value, target);
        "+00"u8.CopyTo(target[length..]);
        return length + 3;
    }
}
