using System.Runtime.InteropServices;
using System.Text.Unicode;
using CrmBackup.Cdc.Core;
using ParquetSharp;
using ParquetSharp.Schema;

namespace CrmBackup.Cdc.Vault;

/// <summary>Types whose Parquet value is their canonical text. Bytes that are not UTF-8 (a database in SQL_ASCII) become exceptions.</summary>
sealed class TextTwin(string name, LogicalType logical) : ColumnTwin(name)
{
    public override PrimitiveNode Node(string column) => new(column, Repetition.Optional, logical, PhysicalType.ByteArray);

    public override ColumnEncoder NewEncoder() => new Encoder();

    public override ColumnDecoder NewDecoder() => new Decoder();

    public override CrossColumn NewCross(string column) => new CrossBytes(column, nullable: true);

    sealed class Encoder : ColumnEncoder
    {
        readonly ColumnBuilder<ByteArray> _values = new(nullable: true);

        public override bool TryAdd(ReadOnlySpan<byte> text, nint address)
        {
            if (!Utf8.IsValid(text))
                return false;
            _values.Add(new ByteArray(address, text.Length));
            return true;
        }

        public override void AddNull() => _values.AddNull();

        public override void Write(RowGroupWriter group) => _values.Write(group);

        public override void Dispose() => _values.Dispose();
    }

    sealed class Decoder : ColumnDecoder
    {
        readonly BytesColumn _values = new();

        public override void Read(RowGroupReader group, int column, int rows) => _values.Read(group, column, rows);

        public override bool IsNull(int row) => _values.IsNull(row);

        public override ReadOnlySpan<byte> Text(int row) => _values.Text(row);
    }
}

/// <summary>bytea: <c>\xdeadbeef</c> as its bytes.</summary>
sealed class ByteaTwin() : ColumnTwin("bytea")
{
    public override PrimitiveNode Node(string column) => new(column, Repetition.Optional, LogicalType.None(), PhysicalType.ByteArray);

    public override ColumnEncoder NewEncoder() => new Encoder();

    public override ColumnDecoder NewDecoder() => new Decoder();

    public override CrossColumn NewCross(string column) => new CrossBytes(column, nullable: true, new HexText().Of);

    sealed class Encoder : ColumnEncoder
    {
        readonly ColumnBuilder<ByteArray> _values = new(nullable: true);
        readonly ByteArena _bytes = new();

        public override bool TryAdd(ReadOnlySpan<byte> text, nint address)
        {
            // Lower case only: anything else would not come back as it was.
            if (!text.StartsWith("\\x"u8) || text.Length % 2 != 0 || text[2..].IndexOfAnyExcept(HexDigits) >= 0)
                return false;
            var value = _bytes.Reserve((text.Length - 2) / 2);
            Convert.FromHexString(text[2..], value.Span, out _, out _);
            _values.Add(new ByteArray(ByteArena.Address(value), value.Length));
            return true;
        }

        public override void AddNull() => _values.AddNull();

        public override void Write(RowGroupWriter group) => _values.Write(group);

        public override void Dispose() => _values.Dispose();
    }

    sealed class Decoder : ColumnDecoder
    {
        readonly BytesColumn _values = new();
        readonly HexText _hex = new();

        public override void Read(RowGroupReader group, int column, int rows) => _values.Read(group, column, rows);

        public override bool IsNull(int row) => _values.IsNull(row);

        public override ReadOnlySpan<byte> Text(int row) => _hex.Of(_values.Text(row));
    }

    sealed class HexText
    {
        byte[] _text = new byte[64];

        /// <summary>Valid until the next call.</summary>
        public ReadOnlySpan<byte> Of(ReadOnlySpan<byte> value)
        {
            var length = checked(2 + 2 * value.Length);
            if (_text.Length < length)
                _text = new byte[Math.Max(length, (int)Math.Min(Array.MaxLength, _text.Length * 2L))];
            "\\x"u8.CopyTo(_text);
            Convert.TryToHexStringLower(value, _text.AsSpan(2), out _);
            return _text.AsSpan(0, length);
        }
    }

    static readonly System.Buffers.SearchValues<byte> HexDigits = System.Buffers.SearchValues.Create("0123456789abcdef"u8);
}

/// <summary>Values of 16 bytes.</summary>
sealed class FixedBytesEncoder(FixedBytesEncoder.Parse parse) : ColumnEncoder
{
    /// <summary>False when the text would not come back exactly.</summary>
    public delegate bool Parse(ReadOnlySpan<byte> text, Span<byte> value);

    readonly ColumnBuilder<FixedLenByteArray> _values = new(nullable: true);
    readonly ByteArena _bytes = new();

    public override bool TryAdd(ReadOnlySpan<byte> text, nint address)
    {
        Span<byte> value = stackalloc byte[16];
        if (!parse(text, value))
            return false;
        _values.Add(new FixedLenByteArray(ByteArena.Address(_bytes.Add(value))));
        return true;
    }

    public override void AddNull() => _values.AddNull();

    public override void Write(RowGroupWriter group) => _values.Write(group);

    public override void Dispose() => _values.Dispose();
}

/// <summary>Texts of at most 64 bytes.</summary>
sealed class FixedText(FixedText.Format format)
{
    /// <returns>Bytes written.</returns>
    public delegate int Format(ReadOnlySpan<byte> value, Span<byte> text);

    readonly byte[] _text = new byte[64];

    /// <summary>Valid until the next call.</summary>
    public ReadOnlySpan<byte> Of(ReadOnlySpan<byte> value) => _text.AsSpan(0, format(value, _text));
}

sealed class FixedBytesDecoder(FixedText text) : ColumnDecoder
{
    const int Batch = 8192;
    readonly FixedLenByteArray[] _batch = new FixedLenByteArray[Batch];
    readonly short[] _levels = new short[Batch];
    byte[] _bytes = [];
    bool[] _present = [];

    public override bool IsNull(int row) => !_present[row];

    public override ReadOnlySpan<byte> Text(int row) => text.Of(_bytes.AsSpan(row * 16, 16));

    public override void Read(RowGroupReader group, int column, int rows)
    {
        if (_present.Length < rows)
        {
            _present = new bool[rows];
            _bytes = new byte[rows * 16];
        }
        using var reader = (ColumnReader<FixedLenByteArray>)group.Column(column);
        for (var row = 0; row < rows;)
        {
            var levels = reader.ReadBatch(Math.Min(Batch, rows - row), _levels, default, _batch, out _);
            if (levels == 0)
                throw new FormatViolationException($"column {column} of a segment ends at row {row} of {rows}");
            for (int i = 0, value = 0; i < levels; i++, row++)
            {
                _present[row] = _levels[i] > 0;
                if (_present[row])
                    Marshal.Copy(_batch[value++].Pointer, _bytes, row * 16, 16);
            }
        }
    }
}

sealed class UuidTwin() : ColumnTwin("uuid")
{
    public override PrimitiveNode Node(string column) =>
        new(column, Repetition.Optional, LogicalType.Uuid(), PhysicalType.FixedLenByteArray, primitiveLength: 16);

    public override ColumnEncoder NewEncoder() => new FixedBytesEncoder((ReadOnlySpan<byte> text, Span<byte> value) =>
    {
        if (text.Length != 36 || !Guid.TryParse(text, out var uuid))
            return false;
        Span<byte> back = stackalloc byte[36];
        uuid.TryFormat(back, out _);
        uuid.TryWriteBytes(value, bigEndian: true, out _);
        return text.SequenceEqual(back);
    });

    public override ColumnDecoder NewDecoder() => new FixedBytesDecoder(NewText());

    public override CrossColumn NewCross(string column) => new CrossBytes(column, nullable: true, NewText().Of);

    static FixedText NewText() => new((value, text) =>
    {
        new Guid(value, bigEndian: true).TryFormat(text, out var written);
        return written;
    });
}
