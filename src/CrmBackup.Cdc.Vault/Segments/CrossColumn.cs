using System.Globalization;
using System.Text;
using CrmBackup.Cdc.Core;
using Parquet;
using Parquet.Data;
using Parquet.Schema;

namespace CrmBackup.Cdc.Vault;

/// <summary>One column of a row group as Parquet.Net reads it, in that library's own types, back to canonical text. Shares no code with
/// ParquetSharp's way but the texts of floats and times.</summary>
abstract class CrossColumn : ColumnTexts
{
    public static async Task<CrossColumn> ReadAsync(ParquetRowGroupReader group, DataField field, string twin, CancellationToken stop)
    {
        using var raw = await group.ReadRawColumnDataBaseAsync(field, stop);
        return raw switch
        {
            RawColumnData<bool> bits => Of(bits, field, (value, text) => Put(value ? "t"u8 : "f"u8, text)),
            RawColumnData<short> numbers => Of(numbers, field, (value, text) => Number(value, text)),
            RawColumnData<int> numbers => Of(numbers, field, (value, text) => Number(value, text)),
            RawColumnData<long> times when twin == "time" => Of(times, field, (value, text) => TimeText.FormatTime(value, text)),
            RawColumnData<long> numbers => Of(numbers, field, (value, text) => Number(value, text)),
            RawColumnData<float> floats => Of(floats, field, (value, text) => FloatText.Format(value, text)),
            RawColumnData<double> floats => Of(floats, field, (value, text) => FloatText.Format(value, text)),
            RawColumnData<BigDecimal> decimals => Of(decimals, field, (value, text) => Decimal(value, twin, text)),
            RawColumnData<Guid> uuids => Of(uuids, field, (value, text) => value.TryFormat(text, out var written) ? written : 0),
            RawColumnData<DateTime> times => Of(times, field, (value, text) => Time(value, twin, text)),
            RawColumnData<ReadOnlyMemory<byte>> bytes => new BytesTexts(Copied(bytes, field, value => value.ToArray()), hex: twin == "bytea"),
            RawColumnData<ReadOnlyMemory<char>> texts =>
                new BytesTexts(Copied(texts, field, value => Encoding.UTF8.GetBytes(value.ToArray())), hex: false),
            _ => throw new NotSupportedException($"Parquet.Net gives column {field.Name} as {raw.GetType()}"),
        };
    }

    /// <summary>Of one of our own columns: the value as a number, times in microseconds since 1970.</summary>
    public long Long(int row) => this switch
    {
        NumberTexts<long> numbers => numbers[row],
        NumberTexts<int> numbers => numbers[row],
        NumberTexts<DateTime> times => Microseconds(times[row]),
        _ => throw new FormatViolationException("a metadata column of a segment is not a number"),
    };

    delegate int Format<T>(T value, Span<byte> text);

    static NumberTexts<T> Of<T>(RawColumnData<T> raw, DataField field, Format<T> format) where T : struct =>
        new(Copied<T, T?>(raw, field, value => value), format);

    /// <summary>One item per row, null for NULL: the library's buffers go back when the column is disposed.</summary>
    static TItem?[] Copied<T, TItem>(RawColumnData<T> raw, DataField field, Func<T, TItem> copy) where T : struct
    {
        var values = raw.Values;
        if (!field.IsNullable)
        {
            var all = new TItem?[values.Length];
            for (var row = 0; row < all.Length; row++)
                all[row] = copy(values[row]);
            return all;
        }
        var levels = raw.DefinitionLevels;
        var items = new TItem?[levels.Length];
        for (int row = 0, value = 0; row < items.Length; row++)
            if (levels[row] > 0)
                items[row] = copy(values[value++]);
        return items;
    }

    static long Microseconds(DateTime time) => (time.Ticks - DateTime.UnixEpoch.Ticks) / TimeSpan.TicksPerMicrosecond;

    static int Time(DateTime time, string twin, Span<byte> text)
    {
        if (twin == "date")
            return TimeText.FormatDate((int)(Microseconds(time) / 86_400_000_000), text);
        var length = TimeText.FormatTimestamp(Microseconds(time), text);
        return twin == "timestamptz" ? length + Put("+00"u8, text[length..]) : length;
    }

    static int Decimal(BigDecimal value, string twin, Span<byte> text) =>
        DecimalTwin.TryParseName(twin, out _, out var scale)
            ? DecimalText.Format((Int128)value.UnscaledValue, scale, text)
            : throw new FormatViolationException($"a column of kind {twin} holds decimals");

    static int Number(long value, Span<byte> text)
    {
        value.TryFormat(text, out var written, default, CultureInfo.InvariantCulture);
        return written;
    }

    static int Put(ReadOnlySpan<byte> bytes, Span<byte> text)
    {
        bytes.CopyTo(text);
        return bytes.Length;
    }

    sealed class NumberTexts<T>(T?[] values, Format<T> format) : CrossColumn where T : struct
    {
        readonly byte[] _text = new byte[64];

        public T this[int row] => values[row]!.Value;

        public override bool IsNull(int row) => values[row] is null;

        public override ReadOnlySpan<byte> Text(int row) => _text.AsSpan(0, format(values[row]!.Value, _text));
    }

    sealed class BytesTexts(byte[]?[] values, bool hex) : CrossColumn
    {
        public override bool IsNull(int row) => values[row] is null;

        public override ReadOnlySpan<byte> Text(int row) =>
            hex ? Encoding.ASCII.GetBytes("\\x" + Convert.ToHexStringLower(values[row]!)) : values[row];
    }
}
