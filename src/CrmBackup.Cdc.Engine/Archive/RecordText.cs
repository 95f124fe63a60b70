using System.Text;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Reads a composite value's text, <c>(1,"a ""b""",)</c>, column by column, as <c>record_out</c> writes it:
/// an empty unquoted field is NULL, quotes and backslashes are doubled inside quotes.</summary>
static class RecordText
{
    /// <summary>Writes the row into a tuple.</summary>
    /// <returns>Valid until the writer begins anew.</returns>
    public static ReadOnlySpan<byte> ToTuple(string record, int columns, TupleWriter tuple)
    {
        if (record.Length < 2 || record[0] != '(' || record[^1] != ')')
            throw new FormatViolationException("a rewritten row is not a record in parentheses");
        tuple.Begin();
        var at = 1;
        var field = new StringBuilder();
        for (var i = 0; i < columns; i++)
        {
            var isNull = ReadField(record, ref at, field);
            if (Next(record, at) != (i == columns - 1 ? ')' : ','))
                throw new FormatViolationException($"a rewritten row does not have {columns} columns");
            at++;
            if (isNull)
                tuple.Null();
            else
                tuple.Text(Encoding.UTF8.GetBytes(field.ToString()));
        }
        if (at != (columns == 0 ? 1 : record.Length))
            throw new FormatViolationException($"a rewritten row has more than {columns} columns");
        return tuple.End();
    }

    static char Next(string record, int at) =>
        at < record.Length ? record[at] : throw new FormatViolationException("a rewritten row ends inside a column");

    /// <returns>True when the field is NULL. Afterwards <paramref name="at"/> stands on the ',' or ')' that ends it.</returns>
    static bool ReadField(string record, ref int at, StringBuilder field)
    {
        field.Clear();
        var quoted = false;
        var inside = false;
        while (true)
        {
            if (at >= record.Length)
                throw new FormatViolationException("a rewritten row ends inside a column");
            var character = record[at];
            if (!inside && character is (',' or ')'))
                break;
            at++;
            if (character == '"')
            {
                if (inside && Next(record, at) == '"')
                    field.Append(record[at++]);
                else
                    inside = !inside;
                quoted = true;
            }
            else if (character == '\\')
            {
                field.Append(Next(record, at++));
            }
            else
            {
                field.Append(character);
            }
        }
        return field.Length == 0 && !quoted;
    }
}
