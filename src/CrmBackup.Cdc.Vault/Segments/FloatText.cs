using System.Globalization;

namespace CrmBackup.Cdc.Vault;

/// <summary>float4 and float8 as PostgreSQL prints them with <c>extra_float_digits</c> above 0: the shortest digits that read back as the
/// same value; fixed notation when the exponent is in [-4, 6) for float4 and [-4, 15) for float8, else <c>d.ddde+XX</c>.</summary>
static class FloatText
{
    public const int LengthMax = 32;

    public static int Format(double value, Span<byte> target)
    {
        if (!double.IsFinite(value))
            return Special(value, target);
        Span<byte> shortest = stackalloc byte[LengthMax];
        value.TryFormat(shortest, out var length, "R", CultureInfo.InvariantCulture);
        // Below, no decimal of so few digits lies on the border; above, next to none, and those become exceptions.
        if (Math.Abs(value) is >= 1L << 53 and < 1e38)
            length = Inside(value, Math.BitIncrement(value), Math.BitDecrement(value), shortest, length);
        return Layout(shortest[..length], fixedBelow: 15, target);
    }

    public static int Format(float value, Span<byte> target)
    {
        if (!float.IsFinite(value))
            return Special(value, target);
        Span<byte> shortest = stackalloc byte[LengthMax];
        value.TryFormat(shortest, out var length, "R", CultureInfo.InvariantCulture);
        if (MathF.Abs(value) is >= 1 << 24 and < 1e38f)
            length = Inside(value, MathF.BitIncrement(value), MathF.BitDecrement(value), shortest, length);
        return Layout(shortest[..length], fixedBelow: 6, target);
    }

    /// <summary>.NET takes a decimal that lies exactly on the border to the neighbour, because it reads back by rounding to even;
    /// PostgreSQL (Ryu) wants the shortest that lies inside.</summary>
    static int Inside(double value, double above, double below, Span<byte> shortest, int length)
    {
        Span<byte> digits = stackalloc byte[LengthMax];
        var exact = (Int128)Math.Abs(value);
        var (up, down) = value > 0 ? (above, below) : (-below, -above);
        var count = Digits(shortest[..length].TrimStart((byte)'-'), digits, out var exponent).Length;
        while (count < 17)
        {
            var number = Int128.Parse(digits[..count], NumberStyles.None, CultureInfo.InvariantCulture)
                * DecimalText.PowersOfTen[Math.Max(exponent - count + 1, 0)];
            var neighbour = (Int128)(number > exact ? up : down);
            if (Int128.Abs(number - exact) * 2 < Int128.Abs(neighbour - exact))
                break;
            value.TryFormat(shortest, out length, $"E{count}", CultureInfo.InvariantCulture);
            count = AllDigits(shortest[..length].TrimStart((byte)'-'), digits, out exponent);
        }
        return length;
    }

    static int Special(double value, Span<byte> target)
    {
        var text = double.IsNaN(value) ? "NaN"u8 : value > 0 ? "Infinity"u8 : "-Infinity"u8;
        text.CopyTo(target);
        return text.Length;
    }

    /// <summary>.NET gives the same shortest digits, but lays them out differently.</summary>
    static int Layout(ReadOnlySpan<byte> shortest, int fixedBelow, Span<byte> target)
    {
        var at = 0;
        if (shortest[0] == (byte)'-')
        {
            target[at++] = (byte)'-';
            shortest = shortest[1..];
        }
        Span<byte> all = stackalloc byte[LengthMax];
        var digits = Digits(shortest, all, out var exponent);
        if (digits.IsEmpty)
        {
            target[at++] = (byte)'0';
            return at;
        }
        return exponent >= -4 && exponent < fixedBelow
            ? Fixed(digits, exponent, target, at)
            : Scientific(digits, exponent, target, at);
    }

    /// <summary>The digits without leading and trailing zeros, and the power of ten of the first one.</summary>
    static Span<byte> Digits(ReadOnlySpan<byte> number, Span<byte> digits, out int exponent) =>
        digits[..AllDigits(number, digits, out exponent)].TrimEnd((byte)'0');

    static int AllDigits(ReadOnlySpan<byte> number, Span<byte> digits, out int exponent)
    {
        var mark = number.IndexOf((byte)'E');
        exponent = mark < 0 ? 0 : int.Parse(number[(mark + 1)..], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        var mantissa = mark < 0 ? number : number[..mark];
        var point = mantissa.IndexOf((byte)'.');
        exponent += (point < 0 ? mantissa.Length : point) - 1;
        var count = 0;
        foreach (var one in mantissa)
        {
            if (one == (byte)'.')
                continue;
            if (count == 0 && one == (byte)'0')
                exponent--;
            else
                digits[count++] = one;
        }
        return count;
    }

    static int Fixed(ReadOnlySpan<byte> digits, int exponent, Span<byte> target, int at)
    {
        if (exponent < 0)
        {
            "0."u8.CopyTo(target[at..]);
            target.Slice(at + 2, -exponent - 1).Fill((byte)'0');
            at += 2 - exponent - 1;
            digits.CopyTo(target[at..]);
            return at + digits.Length;
        }
        var whole = Math.Min(digits.Length, exponent + 1);
        digits[..whole].CopyTo(target[at..]);
        at += whole;
        target.Slice(at, exponent + 1 - whole).Fill((byte)'0');
        at += exponent + 1 - whole;
        if (digits.Length <= whole)
            return at;
        target[at++] = (byte)'.';
        digits[whole..].CopyTo(target[at..]);
        return at + digits.Length - whole;
    }

    static int Scientific(ReadOnlySpan<byte> digits, int exponent, Span<byte> target, int at)
    {
        target[at++] = digits[0];
        if (digits.Length > 1)
        {
            target[at++] = (byte)'.';
            digits[1..].CopyTo(target[at..]);
            at += digits.Length - 1;
        }
        target[at++] = (byte)'e';
        target[at++] = exponent < 0 ? (byte)'-' : (byte)'+';
        Math.Abs(exponent).TryFormat(target[at..], out var written, "00", CultureInfo.InvariantCulture);
        return at + written;
    }
}
