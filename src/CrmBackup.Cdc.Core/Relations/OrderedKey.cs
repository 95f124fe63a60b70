using System.Globalization;
using System.Text;

namespace CrmBackup.Cdc.Core;

/// <summary>Values of key columns that the server and we order alike, whatever its collations: integers and uuid. As numbers that sort as
/// the server's index does.</summary>
public static class OrderedKey
{
    const uint Int8 = 20, Int2 = 21, Int4 = 23, Uuid = 2950;
    const ulong Sign = 1UL << 63;

    public static bool Orders(uint typeOid) => typeOid is Int2 or Int4 or Int8 or Uuid;

    /// <summary>The type in which limits of ranges are written: wide enough for the value after a column's last.</summary>
    public static string LimitType(uint typeOid) => typeOid == Uuid ? "uuid" : "bigint";

    /// <param name="text">Canonical.</param>
    /// <exception cref="FormatViolationException">It is not of the type.</exception>
    public static UInt128 Parse(uint typeOid, ReadOnlySpan<byte> text)
    {
        if (typeOid == Uuid && Guid.TryParse(Encoding.ASCII.GetString(text), out var uuid))
        {
            Span<byte> bytes = stackalloc byte[16];
            uuid.TryWriteBytes(bytes, bigEndian: true, out _);
            return System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(bytes);
        }
        if (typeOid != Uuid && long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number))
            return (ulong)number ^ Sign;
        throw new FormatViolationException($"a key is no value of the type with OID {typeOid}");
    }

    public static string Format(uint typeOid, UInt128 key)
    {
        if (typeOid != Uuid)
            return ((long)((ulong)key ^ Sign)).ToString(CultureInfo.InvariantCulture);
        Span<byte> bytes = stackalloc byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt128BigEndian(bytes, key);
        return new Guid(bytes, bigEndian: true).ToString();
    }

    /// <summary>The smallest key above; null when there is none.</summary>
    public static UInt128? After(uint typeOid, UInt128 key) =>
        key == (typeOid == Uuid ? UInt128.MaxValue : ulong.MaxValue) ? null : key + 1;
}
