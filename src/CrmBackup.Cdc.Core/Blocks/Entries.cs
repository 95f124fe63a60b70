using System.Buffers.Binary;

namespace CrmBackup.Cdc.Core;

/// <summary>First bytes of a block's entries. Relation, type, origin, row, truncate and commit frames travel as pgoutput wrote them
/// (without the xid that streamed transactions prefix); the rest is ours.</summary>
public static class EntryType
{
    /// <summary>A transaction begins: <see cref="BeginEntry"/> in place of pgoutput's 'B'.</summary>
    public const byte Begin = 0x01;
    /// <summary>A message of ours whose keyed hash was right: a pgoutput 'M' frame follows the type byte.</summary>
    public const byte OwnMessage = 0x02;
    /// <summary>A message with our prefix and a wrong or missing hash: the same; counted, never obeyed.</summary>
    public const byte ForeignMessage = 0x03;
    /// <summary>The rows that follow in the transaction were written here: <see cref="WrittenEntry"/>.</summary>
    public const byte Written = 0x04;
    /// <summary>A <see cref="ControlEntry"/> as UTF-8 JSON.</summary>
    public const byte Control = 0x10;
    /// <summary>Rows of a base, in answers only: COPY text lines as they came, whole lines.</summary>
    public const byte CopyRows = 0x20;
    /// <summary>Part of a file of a schema dump, in answers only: name length u8, name, bytes; parts of a file follow each other.</summary>
    public const byte FilePart = 0x21;
}

/// <summary>The head of a transaction.
/// <code>
///  | 0x01 | xid u64 | commit record LSN u64 | end LSN u64 | commit time i64, µs since 1970 |   little-endian
/// </code></summary>
/// <param name="CommitRecord">Start of the commit record (pgoutput's final LSN).</param>
/// <param name="End">End LSN when already known (a transaction that was staged on disk), else none: then it follows in the Commit frame.</param>
public readonly record struct BeginEntry(ulong Xid, Lsn CommitRecord, Lsn End, SourceTime Time)
{
    public const int Size = 33;

    public void Write(Span<byte> target)
    {
        target[0] = EntryType.Begin;
        BinaryPrimitives.WriteUInt64LittleEndian(target[1..], Xid);
        BinaryPrimitives.WriteUInt64LittleEndian(target[9..], CommitRecord.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(target[17..], End.Value);
        BinaryPrimitives.WriteInt64LittleEndian(target[25..], Time.UnixMicroseconds);
    }

    public static BeginEntry Parse(ReadOnlySpan<byte> entry)
    {
        if (entry.Length != Size || entry[0] != EntryType.Begin)
            throw new FormatViolationException("a begin entry has the wrong length");
        return new BeginEntry(
            BinaryPrimitives.ReadUInt64LittleEndian(entry[1..]),
            new Lsn(BinaryPrimitives.ReadUInt64LittleEndian(entry[9..])),
            new Lsn(BinaryPrimitives.ReadUInt64LittleEndian(entry[17..])),
            new SourceTime(BinaryPrimitives.ReadInt64LittleEndian(entry[25..])));
    }
}

/// <summary>Where the rows that follow were written, when DDL of another transaction may lie between that and their commit: the
/// server tells their values as their types were then, or as they have become.
/// <code>
///  | 0x04 | LSN of the row's record u64; 0: after any such DDL |   little-endian
/// </code></summary>
public readonly record struct WrittenEntry(Lsn At)
{
    public const int Size = 9;

    public void Write(Span<byte> target)
    {
        target[0] = EntryType.Written;
        BinaryPrimitives.WriteUInt64LittleEndian(target[1..], At.Value);
    }

    public static WrittenEntry Parse(ReadOnlySpan<byte> entry)
    {
        if (entry.Length != Size || entry[0] != EntryType.Written)
            throw new FormatViolationException("a written entry has the wrong length");
        return new WrittenEntry(new Lsn(BinaryPrimitives.ReadUInt64LittleEndian(entry[1..])));
    }
}
