using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Takes a line of <c>COPY … TO STDOUT</c> in text format apart.</summary>
public static class CopyTextRow
{
    /// <summary>Makes one line (without its newline) a tuple.</summary>
    /// <param name="columns">As many as the line must have: an empty line is a row without columns, or one empty text.</param>
    /// <returns>Valid until the writer begins anew.</returns>
    public static ReadOnlySpan<byte> ToTuple(ReadOnlySpan<byte> line, int columns, TupleWriter writer)
    {
        writer.Begin();
        if (columns == 0)
        {
            if (!line.IsEmpty)
                throw new FormatViolationException("a row of a table without columns is not empty");
            return writer.End();
        }
        for (var left = columns; left > 0; left--)
        {
            var tab = line.IndexOf((byte)'\t');
            if (tab < 0 != (left == 1))
                throw new FormatViolationException($"a COPY line does not have {columns} columns");
            Field(tab < 0 ? line : line[..tab], writer);
            line = line[(tab + 1)..];
        }
        return writer.End();
    }

    static void Field(ReadOnlySpan<byte> field, TupleWriter writer)
    {
        var escape = field.IndexOf((byte)'\\');
        if (escape < 0)
        {
            writer.Text(field);
            return;
        }
        if (field.SequenceEqual("\\N"u8))
        {
            writer.Null();
            return;
        }
        // Unescaping only shortens.
        var text = writer.ReserveText(field.Length);
        var length = 0;
        while (escape >= 0)
        {
            field[..escape].CopyTo(text[length..]);
            length += escape;
            if (escape + 1 == field.Length)
                throw new FormatViolationException("a COPY field ends with a backslash");
            text[length++] = Unescaped(field[escape + 1]);
            field = field[(escape + 2)..];
            escape = field.IndexOf((byte)'\\');
        }
        field.CopyTo(text[length..]);
        writer.CommitText(length + field.Length);
    }

    static byte Unescaped(byte letter) => letter switch
    {
        (byte)'\\' => (byte)'\\',
        (byte)'n' => (byte)'\n',
        (byte)'t' => (byte)'\t',
        (byte)'r' => (byte)'\r',
        (byte)'b' => (byte)'\b',
        (byte)'f' => (byte)'\f',
        (byte)'v' => (byte)'\v',
        _ => throw new FormatViolationException($"a COPY field has the unknown escape \\{(char)letter}"),
    };
}
