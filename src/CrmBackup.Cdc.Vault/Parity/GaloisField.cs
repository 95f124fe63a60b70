using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace CrmBackup.Cdc.Vault;

/// <summary>GF(2^8) by the polynomial x^8 + x^4 + x^3 + x^2 + 1: bytes are its elements, addition is XOR.</summary>
static class GaloisField
{
    const int Polynomial = 0x11D;
    static readonly byte[] _power = new byte[510];
    static readonly byte[] _logarithm = new byte[256];

    static GaloisField()
    {
        var value = 1;
        for (var i = 0; i < 255; i++)
        {
            (_power[i], _power[i + 255], _logarithm[value]) = ((byte)value, (byte)value, (byte)i);
            value <<= 1;
            if (value > 255)
                value ^= Polynomial;
        }
    }

    public static byte Multiply(byte left, byte right) =>
        left == 0 || right == 0 ? (byte)0 : _power[_logarithm[left] + _logarithm[right]];

    /// <param name="value">Not 0.</param>
    public static byte Inverse(byte value) => _power[255 - _logarithm[value]];

    /// <summary>Adds a multiple of the source to the target, byte by byte: a byte's product is that of its low half plus that of its high.</summary>
    public static void AddMultiple(Span<byte> target, ReadOnlySpan<byte> source, byte factor)
    {
        if (factor == 0)
            return;
        Span<byte> low = stackalloc byte[16];
        Span<byte> high = stackalloc byte[16];
        for (var half = 0; half < 16; half++)
            (low[half], high[half]) = (Multiply((byte)half, factor), Multiply((byte)(half << 4), factor));
        var done = 0;
        if (Vector128.IsHardwareAccelerated)
        {
            var (lows, highs, mask) = (Vector128.Create<byte>(low), Vector128.Create<byte>(high), Vector128.Create((byte)0x0F));
            var targets = MemoryMarshal.Cast<byte, Vector128<byte>>(target[..source.Length]);
            var sources = MemoryMarshal.Cast<byte, Vector128<byte>>(source);
            for (var i = 0; i < sources.Length; i++)
                targets[i] ^= Vector128.ShuffleNative(lows, sources[i] & mask) ^ Vector128.ShuffleNative(highs, (sources[i] >>> 4) & mask);
            done = sources.Length * Vector128<byte>.Count;
        }
        for (; done < source.Length; done++)
            target[done] ^= (byte)(low[source[done] & 0x0F] ^ high[source[done] >> 4]);
    }
}
