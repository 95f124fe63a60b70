using CrmBackup.Cdc.Core;
using Parquet;
using Parquet.Schema;

namespace CrmBackup.Cdc.Vault;

/// <summary>One column of a row group as Parquet.Net reads it: physical values, and their canonical text by the twin's own codec. That codec was
/// proven for each value when it was encoded; what is proven here is that both libraries read the same values.</summary>
abstract class CrossColumn(DataField physical) : ColumnTexts
{
    /// <summary>Of the physical type, whatever the file calls the logical one. Belongs into a schema before <see cref="ReadAsync"/>.</summary>
    public DataField Physical => physical;

    /// <summary>The memory is used again for the next row group.</summary>
    public abstract Task ReadAsync(ParquetRowGroupReader group, CancellationToken stop);
}

/// <summary>The values stand one after the other, without the NULLs between them.</summary>
abstract class CrossColumn<T>(DataField physical) : CrossColumn(physical) where T : struct
{
    readonly bool _nullable = physical.IsNullable;
    T[] _values = [];
    /// <summary>Where a row's value stands; -1 for NULL. Read as definition levels.</summary>
    int[] _places = [];

    public override bool IsNull(int row) => _nullable && _places[row] < 0;

    /// <summary>The value of a row that is not NULL.</summary>
    public T this[int row] => _values[_nullable ? _places[row] : row];

    public override async Task ReadAsync(ParquetRowGroupReader group, CancellationToken stop)
    {
        var rows = checked((int)group.RowCount);
        if (_values.Length < rows)
            (_values, _places) = (new T[rows], _nullable ? new int[rows] : []);
        await group.ReadRawAsync<T>(Physical, _values, _nullable ? _places.AsMemory() : (Memory<int>?)null, null, stop);
        var value = 0;
        for (var row = 0; _nullable && row < rows; row++)
            _places[row] = _places[row] > 0 ? value++ : -1;
    }
}

/// <summary>Numbers, whatever they stand for.</summary>
sealed class CrossNumbers<T, TCodec>(string name, bool nullable, TCodec codec = default) : CrossColumn<T>(new DataField<T>(name, nullable))
    where T : unmanaged
    where TCodec : struct, IValueCodec<T>
{
    readonly byte[] _text = new byte[64];

    public override ReadOnlySpan<byte> Text(int row) => _text.AsSpan(0, codec.Format(this[row], _text));
}

/// <summary>Byte strings. Their text is what the function makes of them, valid until it is called again; without one they are the text.</summary>
sealed class CrossBytes(string name, bool nullable, TextOfBytes? text = null)
    : CrossColumn<ReadOnlyMemory<byte>>(new DataField(name, typeof(byte[]), nullable))
{
    public override ReadOnlySpan<byte> Text(int row) => text is null ? this[row].Span : text(this[row].Span);
}

delegate ReadOnlySpan<byte> TextOfBytes(ReadOnlySpan<byte> value);
