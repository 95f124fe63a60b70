using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Folds a table as it was where the vault last knew it, and cuts it into ranges of keys. In bounded memory.</summary>
sealed class PastFold(BackupVault vault, FoldOptions options)
{
    /// <param name="at">Covered, of the shape that the table has now.</param>
    /// <param name="from">Rows below are not wanted; null: all are.</param>
    public async Task<PastRows> RunAsync(RelationShape shape, Position at, short column, string? from, int rangeRows, CancellationToken stop)
    {
        var place = Enumerable.Range(0, shape.Columns.Count).First(index => shape.Columns[index].AttNum == column);
        var type = shape.Columns[place].TypeOid;
        var least = from is null ? UInt128.Zero : OrderedKey.Parse(type, System.Text.Encoding.ASCII.GetBytes(from));
        using var sorter = new RowSorter(options.SpillFolder, options.MemoryBytes);
        var plan = new RelationPlanner(vault.State, at.Timeline).At(shape, at.Lsn);
        await RelationFold.RunAsync(new RelationRows(vault.Medium).Input(plan, (end, _) => end <= at.Lsn), options, (batch, _) =>
        {
            for (var row = 0; row < batch.Count; row++)
                if (OrderedKey.Parse(type, Column(batch[row], place)) is var key && key >= least)
                    sorter.Add(key, batch[row]);
            return ValueTask.CompletedTask;
        }, stop);
        var scratch = new Scratch(options.SpillFolder, options.MemoryBytes);
        try
        {
            return PastRows.Of(sorter.Sorted(), type, rangeRows, scratch, stop);
        }
        catch
        {
            scratch.Dispose();
            throw;
        }
    }

    static ReadOnlySpan<byte> Column(ReadOnlySpan<byte> tuple, int index)
    {
        var reader = new TupleReader(tuple);
        for (var i = 0; i < index; i++)
            reader.Next(out _);
        return reader.Next(out var text) == ColumnState.Text ? text : throw new FormatViolationException("a column of a key is NULL");
    }
}
