using System.Buffers.Binary;

namespace CrmBackup.Cdc.Core;

/// <summary>The three states of a column in a tuple. Unchanged is not NULL: the event did not carry a TOASTed value.</summary>
public enum ColumnState : byte
{
    Null = (byte)'n',
    Unchanged = (byte)'u',
    Text = (byte)'t',
}

/// <summary>Walks a tuple as pgoutput writes it, without copying.
/// <code>
///  | column count i16 | per column: state u8 ('n' 'u' 't') | for 't': length i32, text |   big-endian
/// </code></summary>
public ref struct TupleReader
{
    readonly ReadOnlySpan<byte> _tuple;
    int _at;

    public TupleReader(ReadOnlySpan<byte> tuple)
    {
        if (tuple.Length < 2)
            throw new FormatViolationException("a tuple ends before its column count");
        _tuple = tuple;
        Count = BinaryPrimitives.ReadInt16BigEndian(tuple);
        _at = 2;
        if (Count < 0)
            throw new FormatViolationException($"a tuple says it has {Count} columns");
    }

    /// <summary>Columns in the tuple, 0 to 1664.</summary>
    public int Count { get; }

    /// <summary>Bytes read so far; after the last column, the tuple's length.</summary>
    public readonly int Consumed => _at;

    /// <summary>The next column. Call exactly <see cref="Count"/> times.</summary>
    public ColumnState Next(out ReadOnlySpan<byte> text)
    {
        if (_at >= _tuple.Length)
            throw new FormatViolationException("a tuple ends before its last column");
        var state = (ColumnState)_tuple[_at++];
        text = default;
        switch (state)
        {
            case ColumnState.Null or ColumnState.Unchanged:
                return state;
            case ColumnState.Text:
                if (_tuple.Length - _at < 4)
                    throw new FormatViolationException("a tuple ends inside a length");
                var length = BinaryPrimitives.ReadInt32BigEndian(_tuple[_at..]);
                _at += 4;
                if (length < 0 || length > _tuple.Length - _at)
                    throw new FormatViolationException($"a tuple's column says it is {length} bytes long");
                text = _tuple.Slice(_at, length);
                _at += length;
                return state;
            default:
                throw new FormatViolationException($"a tuple's column has the unknown state 0x{(byte)state:x2}");
        }
    }
}

/// <summary>Builds a tuple in pgoutput's layout into a buffer of its own. Reusable: <see cref="Begin"/> starts anew.</summary>
public sealed class TupleWriter
{
    byte[] _buffer = new byte[1024];
    int _length;
    int _columns;

    public void Begin()
    {
        _length = 2;
        _columns = 0;
    }

    public void Null() => State(ColumnState.Null);

    public void Unchanged() => State(ColumnState.Unchanged);

    public void Text(ReadOnlySpan<byte> text)
    {
        State(ColumnState.Text);
        Ensure(4 + text.Length);
        BinaryPrimitives.WriteInt32BigEndian(_buffer.AsSpan(_length), text.Length);
        text.CopyTo(_buffer.AsSpan(_length + 4));
        _length += 4 + text.Length;
    }

    public void Column(ColumnState state, ReadOnlySpan<byte> text)
    {
        if (state == ColumnState.Text)
            Text(text);
        else
            State(state);
    }

    /// <summary>The finished tuple; valid until the next <see cref="Begin"/>.</summary>
    public ReadOnlySpan<byte> End()
    {
        BinaryPrimitives.WriteInt16BigEndian(_buffer, checked((short)_columns));
        return _buffer.AsSpan(0, _length);
    }

    /// <summary>The same, for those who must keep it across a call.</summary>
    public ReadOnlyMemory<byte> EndMemory()
    {
        End();
        return _buffer.AsMemory(0, _length);
    }

    /// <summary>Room for a text of at most this length, to be ended by <see cref="CommitText"/> before anything else.</summary>
    public Span<byte> ReserveText(int lengthMax)
    {
        State(ColumnState.Text);
        Ensure(4 + lengthMax);
        return _buffer.AsSpan(_length + 4, lengthMax);
    }

    public void CommitText(int length)
    {
        BinaryPrimitives.WriteInt32BigEndian(_buffer.AsSpan(_length), length);
        _length += 4 + length;
    }

    void State(ColumnState state)
    {
        Ensure(1);
        _buffer[_length++] = (byte)state;
        _columns++;
    }

    void Ensure(int more)
    {
        if (_length + more > _buffer.Length)
            Array.Resize(ref _buffer, checked((int)Math.Min(Array.MaxLength, Math.Max(_buffer.Length * 2L, _length + (long)more))));
    }
}
