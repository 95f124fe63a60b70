using System.Buffers.Binary;

namespace CrmBackup.Cdc.Core;

/// <summary>The lane a block travels in.</summary>
public enum BlockKind : byte
{
    /// <summary>Events in commit order; numbers without holes within the epoch, hash-linked.</summary>
    Stream = 1,
    /// <summary>Part of the answer to one of the archive's orders (base chunk, schema dump). Numbered within the order.</summary>
    Answer = 2,
}

/// <summary>Where a block stands. Its layout, little-endian, 136 bytes:
/// <code>
///  | magic "CBK1" | version u16 | kind u8 | flags u8 | system id u64 | database oid u32 | timeline u32 |
///  | epoch 16 bytes | number u64 | order u64 | previous block's hash 32 bytes |
///  | position before u64 | position after u64 | entries i32 | body length i32 | reserved 24 bytes, zero |
/// </code></summary>
/// <param name="Epoch">Random, chosen by the archive when it asks for the stream; blocks of any other epoch are dropped.</param>
/// <param name="Number">From 0, within the epoch (stream) or the order (answer).</param>
/// <param name="Order">The order an answer belongs to; 0 in the stream.</param>
/// <param name="Previous">Hash of the block before (whole, header and body); zero for number 0.</param>
/// <param name="Before">End LSN of the last transaction that earlier blocks of the epoch complete.</param>
/// <param name="After">The same after this block.</param>
/// <param name="Last">The answer's last block.</param>
public sealed record BlockHeader(
    BlockKind Kind, ulong SystemIdentifier, uint DatabaseOid, uint Timeline, Guid Epoch, ulong Number, ulong Order,
    Sha256 Previous, Lsn Before, Lsn After, int Entries, int BodyLength, bool Last)
{
    public const int Size = 136;
    /// <summary>A block's body is cut at about 1 MiB; one value can make it larger, up to PostgreSQL's 1 GiB and a little.</summary>
    public const int BodyLengthMax = 1 << 30 | 1 << 24;
    const ushort Version = 1;
    static ReadOnlySpan<byte> Magic => "CBK1"u8;

    public void Write(Span<byte> target)
    {
        target[..Size].Clear();
        Magic.CopyTo(target);
        BinaryPrimitives.WriteUInt16LittleEndian(target[4..], Version);
        target[6] = (byte)Kind;
        target[7] = Last ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteUInt64LittleEndian(target[8..], SystemIdentifier);
        BinaryPrimitives.WriteUInt32LittleEndian(target[16..], DatabaseOid);
        BinaryPrimitives.WriteUInt32LittleEndian(target[20..], Timeline);
        Epoch.TryWriteBytes(target[24..40], bigEndian: true, out _);
        BinaryPrimitives.WriteUInt64LittleEndian(target[40..], Number);
        BinaryPrimitives.WriteUInt64LittleEndian(target[48..], Order);
        Previous.ToBytes().CopyTo(target[56..]);
        BinaryPrimitives.WriteUInt64LittleEndian(target[88..], Before.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(target[96..], After.Value);
        BinaryPrimitives.WriteInt32LittleEndian(target[104..], Entries);
        BinaryPrimitives.WriteInt32LittleEndian(target[108..], BodyLength);
    }

    public static BlockHeader Parse(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < Size || !bytes[..4].SequenceEqual(Magic))
            throw new FormatViolationException("these bytes are not a block");
        var version = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        if (version != Version)
            throw new FormatViolationException($"the block has version {version}, this program reads {Version}");
        if (bytes[6] is not ((byte)BlockKind.Stream or (byte)BlockKind.Answer) || bytes[7] > 1)
            throw new FormatViolationException($"the block has the unknown kind {bytes[6]} or flags {bytes[7]}");
        var header = new BlockHeader(
            (BlockKind)bytes[6],
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[16..]),
            BinaryPrimitives.ReadUInt32LittleEndian(bytes[20..]),
            new Guid(bytes[24..40], bigEndian: true),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[40..]),
            BinaryPrimitives.ReadUInt64LittleEndian(bytes[48..]),
            Sha256.From(bytes[56..88]),
            new Lsn(BinaryPrimitives.ReadUInt64LittleEndian(bytes[88..])),
            new Lsn(BinaryPrimitives.ReadUInt64LittleEndian(bytes[96..])),
            BinaryPrimitives.ReadInt32LittleEndian(bytes[104..]),
            BinaryPrimitives.ReadInt32LittleEndian(bytes[108..]),
            bytes[7] == 1);
        if (header.Entries < 0 || header.BodyLength is < 0 or > BodyLengthMax || header.After < header.Before)
            throw new FormatViolationException("the block's header contradicts itself");
        return header;
    }
}
