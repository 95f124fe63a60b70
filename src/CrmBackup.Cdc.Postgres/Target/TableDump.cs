using System.Runtime.CompilerServices;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Reads a table by COPY, line by line.</summary>
public static class TableDump
{
    /// <param name="rows">What COPY reads: <c>SELECT … FROM ONLY …</c>.</param>
    /// <returns>Lines without their newline, each valid until the next.</returns>
    public static async IAsyncEnumerable<ReadOnlyMemory<byte>> LinesAsync(
        NpgsqlConnection connection, string rows, [EnumeratorCancellation] CancellationToken stop)
    {
        using var copy = await connection.BeginTextExportAsync($"COPY ({rows}) TO STDOUT", stop);
        var stream = ((StreamReader)copy).BaseStream;
        var buffer = new byte[128 << 10];
        var (start, end) = (0, 0);
        while (true)
        {
            int newline;
            while ((newline = buffer.AsSpan(start, end - start).IndexOf((byte)'\n')) >= 0)
            {
                yield return buffer.AsMemory(start, newline);
                start += newline + 1;
            }
            if (start > 0)
            {
                buffer.AsSpan(start, end - start).CopyTo(buffer);
                (start, end) = (0, end - start);
            }
            if (end == buffer.Length)
                Array.Resize(ref buffer, (int)Math.Min(Array.MaxLength, buffer.Length * 2L));
            var read = await stream.ReadAsync(buffer.AsMemory(end), stop);
            if (read == 0)
                yield break;
            end += read;
        }
    }

    /// <summary>All rows of one table, children excluded, its columns in the given order.</summary>
    public static string Select(string schema, string table, IEnumerable<string> columns) =>
        $"SELECT {string.Join(", ", columns.Select(SqlText.Identifier))} FROM ONLY {SqlText.Qualified(schema, table)}";
}
