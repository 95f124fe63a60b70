using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>One table as one snapshot of the source saw it.</summary>
/// <param name="Barrier">After it everything that the snapshot saw is passed.</param>
sealed record LiveTable(CatalogTable Table, Snapshot Snapshot, Lsn Barrier, TableHash Hash);

/// <summary>Reads whole tables of the source, each in one short transaction that gives way to whoever waits behind it.</summary>
sealed class LiveTables(BaseChunkReader reader, TimeProvider clock)
{
    const int Tries = 20;
    static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(500);

    /// <param name="row">Sees each row with its hash; what it saw before a new try is void: <paramref name="again"/> is called then.</param>
    /// <returns>Null when the table is gone.</returns>
    /// <exception cref="BackupException">It gave way again and again, or its columns change all the time.</exception>
    public async Task<LiveTable?> ReadAsync(
        CatalogTable table, Action<ReadOnlySpan<byte>, ReadOnlySpan<byte>>? row, Action? again, CancellationToken stop)
    {
        using var hasher = new RowHasher();
        var tuple = new TupleWriter();
        var digest = new byte[32];
        var failed = "";
        for (var tries = 0; tries < Tries; tries++)
        {
            var hash = new TableHash();
            again?.Invoke();
            var columns = table.Columns.Count(column => column.Generated == 'n');
            FormatViolationException? misfit = null;
            var answer = await reader.ReadAsync(new ReadBaseChunk(Guid.Empty, 0, table.Oid, 0, 0, null, null), (lines, _) =>
            {
                var rest = lines.Span;
                try
                {
                    while (!rest.IsEmpty && misfit is null)
                    {
                        var end = rest.IndexOf((byte)'\n');
                        var line = CopyTextRow.ToTuple(rest[..end], columns, tuple);
                        hasher.HashRow(line, digest);
                        hash.Add(digest);
                        row?.Invoke(line, digest);
                        rest = rest[(end + 1)..];
                    }
                }
                catch (FormatViolationException columnsChanged)
                {
                    // Whether they did, the end of the answer says.
                    misfit = columnsChanged;
                }
                return ValueTask.CompletedTask;
            }, stop);
            switch (answer)
            {
                case BaseChunkRead read when read.Table.Columns.SequenceEqual(table.Columns):
                    if (misfit is not null)
                        throw misfit;
                    return new LiveTable(read.Table, Snapshot.Parse(read.Snapshot), read.Barrier.Lsn, hash);
                case OrderFailed { Failure: OrderFailure.Gone }:
                    return null;
                case OrderFailed busy:
                    failed = busy.Reason;
                    break;
                case BaseChunkRead read:
                    failed = "its columns were changed meanwhile";
                    table = read.Table;
                    break;
            }
            await Task.Delay(_pause, clock, stop);
        }
        throw new BackupException($"{table.Schema}.{table.Name} could not be read: {failed}", "Compare in a quieter hour, or without this table (--table).");
    }
}
