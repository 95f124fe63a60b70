using System.Buffers.Binary;
using System.Globalization;
using ParquetSharp;
using ParquetSharp.Schema;

namespace CrmBackup.Cdc.Vault;

/// <summary>numeric(p,s) as Parquet's DECIMAL: an int32 up to 9 digits, an int64 up to 18, else 16 bytes big-endian.</summary>
static class DecimalTwin
{
    public static ColumnTwin Of(int precision, int scale)
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"decimal({precision},{scale})");
        var logical = LogicalType.Decimal(precision, scale);
        return precision switch
        {
            <= 9 => new NumberTwin<int, Decimal32Codec>(name, PhysicalType.Int32, logical, codec: new Decimal32Codec(scale)),
            <= 18 => new NumberTwin<long, Decimal64Codec>(name, PhysicalType.Int64, logical, codec: new Decimal64Codec(scale)),
            _ => new LongDecimalTwin(name, logical, precision, scale),
        };
    }

    public static bool TryParseName(string name, out int precision, out int scale)
    {
        precision = scale = 0;
        return name.StartsWith("decimal(", StringComparison.Ordinal) && name.EndsWith(')')
            && name["decimal(".Length..^1].Split(',') is [var p, var s]
            && int.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out precision)
            && int.TryParse(s, NumberStyles.None, CultureInfo.InvariantCulture, out scale);
    }
}

/// <summary>numeric with a fixed scale as an unscaled integer.</summary>
static class DecimalText
{
    public static readonly Int128[] PowersOfTen = Powers();

    public static bool TryParse(ReadOnlySpan<byte> text, out Int128 unscaled)
    {
        unscaled = 0;
        var negative = !text.IsEmpty && text[0] == '-';
        var digits = 0;
        foreach (var one in negative ? text[1..] : text)
        {
            if (one == '.')
                continue;
            if (one is < (byte)'0' or > (byte)'9' || ++digits > 39)
                return false;
            unscaled = unscaled * 10 + (one - '0');
        }
        if (unscaled < 0)
            return false;
        unscaled = negative ? -unscaled : unscaled;
        return digits > 0;
    }

    public static int Format(Int128 unscaled, int scale, Span<byte> target)
    {
        var at = 0;
        if (unscaled < 0)
        {
            target[at++] = (byte)'-';
            unscaled = -unscaled;
        }
        var (whole, fraction) = Int128.DivRem(unscaled, PowersOfTen[scale]);
        whole.TryFormat(target[at..], out var written, default, CultureInfo.InvariantCulture);
        at += written;
        if (scale == 0)
            return at;
        target[at++] = (byte)'.';
        for (var i = scale - 1; i >= 0; i--, fraction /= 10)
            target[at + i] = (byte)('0' + (int)(fraction % 10));
        return at + scale;
    }

    static Int128[] Powers()
    {
        var powers = new Int128[39];
        powers[0] = 1;
        for (var i = 1; i < powers.Length; i++)
            powers[i] = powers[i - 1] * 10;
        return powers;
    }
}

readonly struct Decimal32Codec(int scale) : IValueCodec<int>
{
    public bool TryParse(ReadOnlySpan<byte> text, out int value)
    {
        var parsed = DecimalText.TryParse(text, out var unscaled) && Int128.Abs(unscaled) < 1_000_000_000;
        value = parsed ? (int)unscaled : 0;
        return parsed;
    }

    public int Format(int value, Span<byte> target) => DecimalText.Format(value, scale, target);
}

readonly struct Decimal64Codec(int scale) : IValueCodec<long>
{
    public bool TryParse(ReadOnlySpan<byte> text, out long value)
    {
        var parsed = DecimalText.TryParse(text, out var unscaled) && Int128.Abs(unscaled) < 1_000_000_000_000_000_000;
        value = parsed ? (long)unscaled : 0;
        return parsed;
    }

    public int Format(long value, Span<byte> target) => DecimalText.Format(value, scale, target);
}

sealed class LongDecimalTwin(string name, LogicalType logical, int precision, int scale) : ColumnTwin(name)
{
    public override PrimitiveNode Node(string column) =>
        new(column, Repetition.Optional, logical, PhysicalType.FixedLenByteArray, primitiveLength: 16);

    public override ColumnEncoder NewEncoder() => new FixedBytesEncoder((ReadOnlySpan<byte> text, Span<byte> value) =>
    {
        if (!DecimalText.TryParse(text, out var unscaled) || Int128.Abs(unscaled) >= DecimalText.PowersOfTen[precision])
            return false;
        Span<byte> back = stackalloc byte[64];
        BinaryPrimitives.WriteInt128BigEndian(value, unscaled);
        return text.SequenceEqual(back[..DecimalText.Format(unscaled, scale, back)]);
    });

    public override ColumnDecoder NewDecoder() => new FixedBytesDecoder(NewText());

    public override CrossColumn NewCross(string column) => new CrossBytes(column, nullable: true, NewText().Of);

    FixedText NewText() => new((value, text) => DecimalText.Format(BinaryPrimitives.ReadInt128BigEndian(value), scale, text));
}
