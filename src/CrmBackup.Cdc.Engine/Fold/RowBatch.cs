namespace CrmBackup.Cdc.Engine;

/// <summary>Some finished rows, as tuples of the target's shape. Borrowed: valid until the receiver returns.</summary>
public sealed class RowBatch
{
    readonly List<(int Start, int Length)> _rows = [];
    byte[] _buffer = new byte[256 << 10];
    int _length;

    public int Count => _rows.Count;

    public int Bytes => _length;

    public ReadOnlySpan<byte> this[int row] => _buffer.AsSpan(_rows[row].Start, _rows[row].Length);

    internal void Add(ReadOnlySpan<byte> tuple)
    {
        if (_length + tuple.Length > _buffer.Length)
            Array.Resize(ref _buffer, (int)Math.Min(Array.MaxLength, Math.Max(_buffer.Length * 2L, _length + (long)tuple.Length)));
        tuple.CopyTo(_buffer.AsSpan(_length));
        _rows.Add((_length, tuple.Length));
        _length += tuple.Length;
    }

    internal void Clear()
    {
        _rows.Clear();
        _length = 0;
        if (_buffer.Length > 16 << 20)
            _buffer = new byte[256 << 10];
    }
}
