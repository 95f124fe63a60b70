using System.Buffers;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary><c>COPY … TO STDOUT</c> in text format, taken in large pieces of whole lines.</summary>
static class CopyOut
{
    /// <summary>Rows are handed over in pieces of about this size.</summary>
    const int PieceSize = 1 << 20;

    /// <summary>Hands over whole lines; returns their number.</summary>
    public static async Task<long> RunAsync(NpgsqlConnection connection, string sql, TakeRows take, CancellationToken stop)
    {
        long rows = 0;
        var buffer = ArrayPool<byte>.Shared.Rent(PieceSize);
        try
        {
            using var text = await connection.BeginTextExportAsync(sql, stop);
            // Npgsql gives text only by way of characters; the bytes beneath are what the server sent.
            var bytes = ((StreamReader)text).BaseStream;
            int filled = 0, whole = 0;
            while (await bytes.ReadAsync(buffer.AsMemory(filled), stop) is var length and > 0)
            {
                var fresh = buffer.AsSpan(filled, length);
                rows += fresh.Count((byte)'\n');
                if (fresh.LastIndexOf((byte)'\n') is var end and >= 0)
                    whole = filled + end + 1;
                filled += length;
                if (filled < PieceSize || (whole == 0 && filled < buffer.Length))
                    continue;
                if (whole > 0)
                    await take(buffer.AsMemory(0, whole), stop);
                buffer.AsSpan(whole, filled - whole).CopyTo(buffer);
                (filled, whole) = (filled - whole, 0);
                if (filled == buffer.Length)
                    buffer = Larger(buffer);
            }
            Invariant.Holds(whole == filled, "COPY ended inside a row");
            if (filled > 0)
                await take(buffer.AsMemory(0, filled), stop);
            return rows;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    static byte[] Larger(byte[] buffer)
    {
        var larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(Array.MaxLength, buffer.Length * 2L));
        buffer.CopyTo(larger, 0);
        ArrayPool<byte>.Shared.Return(buffer);
        return larger;
    }
}
