using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>Count and hash of a table as it stands in a database.</summary>
static class TableProof
{
    /// <param name="row">Sees each tuple too, when given.</param>
    public static async Task<TableHash> HashAsync(
        NpgsqlConnection connection, string rows, int columns, Action<ReadOnlyMemory<byte>, ReadOnlyMemory<byte>>? row, CancellationToken stop)
    {
        var hash = new TableHash();
        using var hasher = new RowHasher();
        var writer = new TupleWriter();
        var digest = new byte[32];
        await foreach (var line in TableDump.LinesAsync(connection, rows, stop))
        {
            var tuple = CopyTextRow.ToTuple(line.Span, columns, writer);
            hasher.HashRow(tuple, digest);
            hash.Add(digest);
            row?.Invoke(tuple.ToArray(), digest);
        }
        return hash;
    }

    public static string Select((string Schema, string Name) table, RelationShape shape) =>
        TableDump.Select(table.Schema, table.Name, shape.Columns.Select(column => column.Name));
}
