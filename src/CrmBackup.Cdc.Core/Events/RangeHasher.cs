using System.Buffers.Binary;
using System.Security.Cryptography;

namespace CrmBackup.Cdc.Core;

/// <summary>The hash of a set of rows, of one table and in no order, as the source computes it with functions of its own: SHA-256 of the
/// sorted SHA-256s of the rows, each over the row's text as <c>record_out</c> writes it, in UTF-8. No sum: whoever may write rows could make
/// sums come out even.</summary>
public sealed class RangeHasher
{
    /// <summary>The same in SQL.</summary>
    /// <param name="columns">As they stand in tuples, comma separated.</param>
    public static string RowSql(string columns) => $"sha256(convert_to(ROW({columns})::text, 'UTF8'))";

    /// <summary>The same in SQL.</summary>
    public static string SetSql(string rowHash) => $"sha256(string_agg({rowHash}, ''::bytea ORDER BY {rowHash}))";

    readonly List<(UInt128 High, UInt128 Low)> _rows = [];
    byte[] _text = new byte[1024];
    int _length;

    /// <param name="tuple">In pgoutput's layout, whole: no value unchanged.</param>
    public void Add(ReadOnlySpan<byte> tuple)
    {
        _length = 0;
        var columns = new TupleReader(tuple);
        Append((byte)'(');
        for (var i = 0; i < columns.Count; i++)
        {
            if (i > 0)
                Append((byte)',');
            var state = columns.Next(out var text);
            if (state == ColumnState.Unchanged)
                throw new FormatViolationException("a row to be compared lacks a value");
            if (state == ColumnState.Text)
                Append(text);
        }
        Append((byte)')');
        Span<byte> digest = stackalloc byte[32];
        SHA256.HashData(_text.AsSpan(0, _length), digest);
        _rows.Add((BinaryPrimitives.ReadUInt128BigEndian(digest), BinaryPrimitives.ReadUInt128BigEndian(digest[16..])));
    }

    /// <summary>Of the rows so far; starts anew.</summary>
    public (int Rows, Sha256 Hash) Finish()
    {
        _rows.Sort();
        var sorted = new byte[32 * _rows.Count];
        for (var i = 0; i < _rows.Count; i++)
        {
            BinaryPrimitives.WriteUInt128BigEndian(sorted.AsSpan(32 * i), _rows[i].High);
            BinaryPrimitives.WriteUInt128BigEndian(sorted.AsSpan(32 * i + 16), _rows[i].Low);
        }
        var result = (_rows.Count, Sha256.Of(sorted));
        _rows.Clear();
        return result;
    }

    /// <summary>A field. NULL is nothing, an empty text is quoted.</summary>
    void Append(ReadOnlySpan<byte> text)
    {
        var quoted = text.IsEmpty || text.IndexOfAny(Special) >= 0;
        Ensure(2 * text.Length + 2);
        if (!quoted)
        {
            text.CopyTo(_text.AsSpan(_length));
            _length += text.Length;
            return;
        }
        Append((byte)'"');
        foreach (var letter in text)
        {
            if (letter is (byte)'"' or (byte)'\\')
                Append(letter);
            Append(letter);
        }
        Append((byte)'"');
    }

    static readonly System.Buffers.SearchValues<byte> Special = System.Buffers.SearchValues.Create("\"\\(), \t\n\v\f\r"u8);

    void Append(byte letter)
    {
        Ensure(1);
        _text[_length++] = letter;
    }

    void Ensure(int more)
    {
        if (_length + more > _text.Length)
            Array.Resize(ref _text, checked((int)Math.Min(Array.MaxLength, Math.Max(_text.Length * 2L, _length + (long)more))));
    }
}
