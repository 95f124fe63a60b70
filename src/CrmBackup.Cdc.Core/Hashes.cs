using System.Buffers.Binary;
using System.Security.Cryptography;

namespace CrmBackup.Cdc.Core;

/// <summary>A SHA-256 as 64 lower-case hex digits in every document of the vault.</summary>
public readonly record struct Sha256(string Hex)
{
    public static readonly Sha256 Zero = new(new string('0', 64));

    public static Sha256 Of(ReadOnlySpan<byte> bytes) => From(SHA256.HashData(bytes));

    public static Sha256 From(ReadOnlySpan<byte> digest)
    {
        if (digest.Length != 32)
            throw new ArgumentException("a SHA-256 has 32 bytes", nameof(digest));
        return new Sha256(Convert.ToHexStringLower(digest));
    }

    public byte[] ToBytes() => Convert.FromHexString(Hex);

    public override string ToString() => Hex;
}

/// <summary>The order-independent hash of a table: the sum modulo 2^256 of its rows' hashes, with the count.</summary>
public sealed class TableHash
{
    readonly ulong[] _sum = new ulong[4];

    public long Rows { get; private set; }

    /// <param name="rowHash">32 bytes, taken as a little-endian number.</param>
    public void Add(ReadOnlySpan<byte> rowHash)
    {
        ulong carry = 0;
        for (var i = 0; i < 4; i++)
        {
            var word = (UInt128)_sum[i] + BinaryPrimitives.ReadUInt64LittleEndian(rowHash[(i * 8)..]) + carry;
            _sum[i] = (ulong)word;
            carry = (ulong)(word >> 64);
        }
        Rows++;
    }

    public void Add(TableHash other)
    {
        ulong carry = 0;
        for (var i = 0; i < 4; i++)
        {
            var word = (UInt128)_sum[i] + other._sum[i] + carry;
            _sum[i] = (ulong)word;
            carry = (ulong)(word >> 64);
        }
        Rows += other.Rows;
    }

    public Sha256 Value
    {
        get
        {
            Span<byte> bytes = stackalloc byte[32];
            for (var i = 0; i < 4; i++)
                BinaryPrimitives.WriteUInt64LittleEndian(bytes[(i * 8)..], _sum[i]);
            return Sha256.From(bytes);
        }
    }

    public bool Matches(TableHash other) => Rows == other.Rows && Value == other.Value;
}
