using System.Buffers;
using ParquetSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>The values of one Parquet column while a row group is encoded. Its arrays are rented: <see cref="Dispose"/> returns them.</summary>
sealed class ColumnBuilder<T>(bool nullable) : IDisposable where T : unmanaged
{
    T[] _values = ArrayPool<T>.Shared.Rent(256);
    short[] _levels = nullable ? ArrayPool<short>.Shared.Rent(256) : [];
    int _count;
    int _rows;

    public void Add(T value)
    {
        if (_count == _values.Length)
            Grow(ref _values, _count);
        _values[_count++] = value;
        Level(1);
    }

    /// <summary>Only in nullable columns.</summary>
    public void AddNull() => Level(0);

    public void Write(RowGroupWriter group)
    {
        using var writer = (ColumnWriter<T>)group.NextColumn();
        if (nullable)
            writer.WriteBatch(_rows, _levels.AsSpan(0, _rows), default, _values.AsSpan(0, _count));
        else
            writer.WriteBatch(_values.AsSpan(0, _count));
    }

    public void Dispose()
    {
        ArrayPool<T>.Shared.Return(_values);
        if (nullable)
            ArrayPool<short>.Shared.Return(_levels);
        _values = [];
        _levels = [];
    }

    void Level(short level)
    {
        if (nullable)
        {
            if (_rows == _levels.Length)
                Grow(ref _levels, _rows);
            _levels[_rows] = level;
        }
        _rows++;
    }

    static void Grow<TItem>(ref TItem[] rented, int used)
    {
        var larger = ArrayPool<TItem>.Shared.Rent(rented.Length * 2);
        rented.AsSpan(0, used).CopyTo(larger);
        ArrayPool<TItem>.Shared.Return(rented);
        rented = larger;
    }
}
