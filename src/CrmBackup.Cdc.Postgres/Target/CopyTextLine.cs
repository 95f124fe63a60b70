using System.Buffers;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Writes tuples as lines of COPY's text format. Reusable; not thread-safe.</summary>
public sealed class CopyTextLine
{
    static readonly SearchValues<byte> _escaped = SearchValues.Create("\\\t\n\r\b\f\v"u8);
    readonly ArrayBufferWriter<byte> _line = new(64 << 10);

    /// <summary>All lines since <see cref="Clear"/>.</summary>
    public ReadOnlyMemory<byte> Bytes => _line.WrittenMemory;

    public void Clear() => _line.ResetWrittenCount();

    /// <param name="tuple">Complete: an unchanged column cannot be written.</param>
    public void Add(ReadOnlySpan<byte> tuple)
    {
        var columns = new TupleReader(tuple);
        for (var i = 0; i < columns.Count; i++)
        {
            if (i > 0)
                _line.Write("\t"u8);
            switch (columns.Next(out var text))
            {
                case ColumnState.Null:
                    _line.Write("\\N"u8);
                    break;
                case ColumnState.Text:
                    Escape(text);
                    break;
                default:
                    throw new FormatViolationException("a row to be loaded lacks a value");
            }
        }
        _line.Write("\n"u8);
    }

    void Escape(ReadOnlySpan<byte> text)
    {
        while (text.IndexOfAny(_escaped) is >= 0 and var special)
        {
            _line.Write(text[..special]);
            _line.Write(text[special] switch
            {
                (byte)'\\' => "\\\\"u8,
                (byte)'\t' => "\\t"u8,
                (byte)'\n' => "\\n"u8,
                (byte)'\r' => "\\r"u8,
                (byte)'\b' => "\\b"u8,
                (byte)'\f' => "\\f"u8,
                _ => "\\v"u8,
            });
            text = text[(special + 1)..];
        }
        _line.Write(text);
    }
}
