using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Tuples of one shape with the texts that the target writes for the same values.</summary>
/// <param name="columns">In the order of the tuples; null where the text stays.</param>
sealed class TupleConversion(ValueConversion?[] columns)
{
    /// <returns>Valid until the writer is used again.</returns>
    public ReadOnlySpan<byte> Write(ReadOnlySpan<byte> tuple, TupleWriter writer)
    {
        var reader = new TupleReader(tuple);
        if (reader.Count != columns.Length)
            throw new FormatViolationException($"a tuple has {reader.Count} columns, its shape has {columns.Length}");
        writer.Begin();
        for (var i = 0; i < columns.Length; i++)
        {
            var state = reader.Next(out var text);
            if (state == ColumnState.Text && columns[i] is { } column)
                writer.Text(Encoding.UTF8.GetBytes(column.Convert(Encoding.UTF8.GetString(text))));
            else
                writer.Column(state, text);
        }
        return writer.End();
    }
}
