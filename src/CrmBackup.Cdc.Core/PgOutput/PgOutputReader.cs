using System.Buffers.Binary;
using System.Text;

namespace CrmBackup.Cdc.Core;

/// <summary>Reads PostgreSQL's big-endian protocol fields from one pgoutput frame. Every read is bounds-checked.</summary>
public ref struct PgOutputReader(ReadOnlySpan<byte> frame)
{
    readonly ReadOnlySpan<byte> _frame = frame;
    int _at;

    public readonly int Remaining => _frame.Length - _at;

    public readonly ReadOnlySpan<byte> Rest => _frame[_at..];

    public byte Byte() => Take(1)[0];

    public short Int16() => BinaryPrimitives.ReadInt16BigEndian(Take(2));

    public int Int32() => BinaryPrimitives.ReadInt32BigEndian(Take(4));

    public uint UInt32() => BinaryPrimitives.ReadUInt32BigEndian(Take(4));

    public long Int64() => BinaryPrimitives.ReadInt64BigEndian(Take(8));

    public Lsn Lsn() => new(BinaryPrimitives.ReadUInt64BigEndian(Take(8)));

    /// <summary>A zero-terminated UTF-8 string.</summary>
    public string Text()
    {
        var length = _frame[_at..].IndexOf((byte)0);
        if (length < 0)
            throw new FormatViolationException("a pgoutput string has no end");
        var text = Encoding.UTF8.GetString(_frame.Slice(_at, length));
        _at += length + 1;
        return text;
    }

    public ReadOnlySpan<byte> Take(int length)
    {
        if (length < 0 || length > Remaining)
            throw new FormatViolationException($"a pgoutput frame ends {length - Remaining} bytes early");
        var bytes = _frame.Slice(_at, length);
        _at += length;
        return bytes;
    }

    /// <summary>The tuple that starts here, with its column count, as it came.</summary>
    public ReadOnlySpan<byte> Tuple()
    {
        var start = _at;
        var columns = new TupleReader(_frame[start..]);
        for (var i = 0; i < columns.Count; i++)
            columns.Next(out _);
        _at = start + columns.Consumed;
        return _frame[start.._at];
    }
}
