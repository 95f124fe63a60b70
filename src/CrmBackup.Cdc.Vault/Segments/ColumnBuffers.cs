using System.Runtime.InteropServices;
using CrmBackup.Cdc.Core;
using ParquetSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>The byte strings of one column of one row group, copied out of Arrow's memory. Reused for the next row group.</summary>
sealed class BytesColumn : ColumnTexts
{
    const int Batch = 8192;
    readonly ByteArray[] _values = new ByteArray[Batch];
    readonly short[] _levels = new short[Batch];
    byte[] _bytes = [];
    int[] _ends = [];
    bool[] _present = [];

    public override bool IsNull(int row) => !_present[row];

    /// <summary>Empty for NULL too.</summary>
    public ReadOnlyMemory<byte> this[int row]
    {
        get
        {
            var start = row == 0 ? 0 : _ends[row - 1];
            return _bytes.AsMemory(start, _ends[row] - start);
        }
    }

    public override ReadOnlySpan<byte> Text(int row) => this[row].Span;

    public void Read(RowGroupReader group, int column, int rows)
    {
        if (_ends.Length < rows)
        {
            _ends = new int[rows];
            _present = new bool[rows];
        }
        using var reader = (ColumnReader<ByteArray>)group.Column(column);
        using (var chunk = group.MetaData.GetColumnChunkMetaData(column))
            // What stands there once; more where a dictionary says it again. Never believed beyond what a row group holds.
            Grow((int)Math.Min(chunk.TotalUncompressedSize, RowGroupLimit.Bytes), used: 0);
        var nullable = reader.ColumnDescriptor.MaxDefinitionLevel > 0;
        var end = 0;
        for (var row = 0; row < rows;)
        {
            // Values stay where they are only until the next batch is asked for.
            var levels = reader.ReadBatch(Math.Min(Batch, rows - row), nullable ? _levels : default, default, _values, out var values);
            var read = (int)(nullable ? levels : values);
            if (read == 0)
                throw new FormatViolationException($"column {column} of a segment ends at row {row} of {rows}");
            for (int i = 0, value = 0; i < read; i++, row++)
            {
                _present[row] = !nullable || _levels[i] > 0;
                if (_present[row])
                    end = Append(_values[value++], end);
                _ends[row] = end;
            }
            // Only a row alone may be larger than a row group: its memory is what bounds ours.
            if (rows > 1 && end > RowGroupLimit.Bytes * 4)
                throw new FormatViolationException($"column {column} of a row group of {rows} rows has over {end} bytes: no segment has");
        }
    }

    int Append(ByteArray value, int end)
    {
        var needed = checked(end + value.Length);
        if (needed > _bytes.Length)
            Grow((int)Math.Min(Array.MaxLength, Math.Max(needed, _bytes.Length * 2L)), end);
        if (value.Length > 0)
            Marshal.Copy(value.Pointer, _bytes, end, value.Length);
        return needed;
    }

    void Grow(int length, int used)
    {
        if (length <= _bytes.Length)
            return;
        var larger = GC.AllocateUninitializedArray<byte>(length);
        _bytes.AsSpan(0, used).CopyTo(larger);
        _bytes = larger;
    }
}

/// <summary>The numbers of one column of one row group; <see cref="IsNull"/> where the column allows it.</summary>
sealed class NumbersColumn<T> where T : unmanaged, IEquatable<T>
{
    const int Batch = 8192;
    readonly T[] _batch = new T[Batch];
    readonly short[] _levels = new short[Batch];
    T[] _values = [];
    bool[] _present = [];
    int _rows;

    public bool Contains(T value) => _values.AsSpan(0, _rows).IndexOf(value) >= 0;

    public T this[int row] => _values[row];

    public bool IsNull(int row) => !_present[row];

    public void Read(RowGroupReader group, int column, int rows)
    {
        if (_values.Length < rows)
        {
            _values = new T[rows];
            _present = new bool[rows];
        }
        _rows = rows;
        using var reader = (ColumnReader<T>)group.Column(column);
        var nullable = reader.ColumnDescriptor.MaxDefinitionLevel > 0;
        for (var row = 0; row < rows;)
        {
            var levels = reader.ReadBatch(Math.Min(Batch, rows - row), nullable ? _levels : default, default, _batch, out var values);
            var read = (int)(nullable ? levels : values);
            if (read == 0)
                throw new FormatViolationException($"column {column} of a segment ends at row {row} of {rows}");
            for (int i = 0, value = 0; i < read; i++, row++)
            {
                _present[row] = !nullable || _levels[i] > 0;
                if (_present[row])
                    _values[row] = _batch[value++];
            }
        }
    }
}
