using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Takes keys out of tuples: per key column its length i32 and canonical text. Reusable; not thread-safe.</summary>
sealed class KeyBuffer
{
    byte[] _buffer = new byte[256];

    /// <param name="columns">Indexes of the key columns, in the order of the key.</param>
    /// <param name="past">Gives key columns that the tuple does not carry; empty when there is none.</param>
    /// <returns>Valid until the next call.</returns>
    public ReadOnlySpan<byte> Of(ReadOnlySpan<byte> tuple, int[] columns, ReadOnlySpan<byte> past = default)
    {
        var length = 0;
        foreach (var column in columns)
        {
            var state = Column(tuple, column, out var text);
            if (state == ColumnState.Unchanged && !past.IsEmpty)
                state = Column(past, column, out text);
            if (state != ColumnState.Text)
                throw new FormatViolationException($"column {column} of a key is {(state == ColumnState.Null ? "NULL" : "not carried")}");
            if (length + 4 + text.Length > _buffer.Length)
                Array.Resize(ref _buffer, Math.Max(_buffer.Length * 2, length + 4 + text.Length));
            BinaryPrimitives.WriteInt32LittleEndian(_buffer.AsSpan(length), text.Length);
            text.CopyTo(_buffer.AsSpan(length + 4));
            length += 4 + text.Length;
        }
        return _buffer.AsSpan(0, length);
    }

    static ColumnState Column(ReadOnlySpan<byte> tuple, int index, out ReadOnlySpan<byte> text)
    {
        var reader = new TupleReader(tuple);
        if (index >= reader.Count)
            throw new FormatViolationException("a tuple ends before its key");
        for (var i = 0; i < index; i++)
            reader.Next(out _);
        return reader.Next(out text);
    }

    /// <summary>For people: the columns' texts in parentheses.</summary>
    public static string Describe(ReadOnlySpan<byte> key)
    {
        var texts = new List<string>();
        while (!key.IsEmpty)
        {
            var length = BinaryPrimitives.ReadInt32LittleEndian(key);
            texts.Add(System.Text.Encoding.UTF8.GetString(key.Slice(4, length)));
            key = key[(4 + length)..];
        }
        return $"({string.Join(", ", texts)})";
    }
}

/// <summary>Byte strings as dictionary keys, looked up by span.</summary>
sealed class BytesComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
{
    public static readonly BytesComparer Instance = new();

    public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

    public int GetHashCode([DisallowNull] byte[] obj) => (int)Hash(obj);

    public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();

    public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

    public int GetHashCode(ReadOnlySpan<byte> alternate) => (int)Hash(alternate);

    /// <summary>64 well mixed bits, the same in every process: partitions are cut by them.</summary>
    public static ulong Hash(ReadOnlySpan<byte> bytes)
    {
        var hash = 0x9E37_79B9_7F4A_7C15UL ^ (ulong)bytes.Length;
        while (bytes.Length >= 8)
        {
            hash = Mix(hash ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[8..];
        }
        ulong rest = 0;
        for (var i = 0; i < bytes.Length; i++)
            rest |= (ulong)bytes[i] << (8 * i);
        return Mix(hash ^ rest);
    }

    /// <summary>The finaliser of splitmix64.</summary>
    public static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58_476D_1CE4_E5B9UL;
        value = (value ^ (value >> 27)) * 0x94D0_49BB_1331_11EBUL;
        return value ^ (value >> 31);
    }
}
