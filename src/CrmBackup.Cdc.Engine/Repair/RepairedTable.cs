using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What it took to make a base by difference.</summary>
/// <param name="Ranges">Of keys, compared with the source.</param>
/// <param name="Differing">Of these.</param>
/// <param name="RowsCopied">From the source, of the <paramref name="Rows"/> that the base has.</param>
public sealed record RepairedTable(string Table, long Ranges, long Differing, long RowsCopied, long Rows)
{
    /// <returns>Null when all of it was read.</returns>
    public static RepairedTable? Of(string table, IReadOnlyCollection<BaseChunk> chunks)
    {
        var compared = chunks.Select(chunk => chunk.Compared).OfType<ComparedKeys>().ToList();
        return compared.Count == 0 ? null : new RepairedTable(table, compared.Sum(part => (long)part.Ranges), compared.Sum(part => (long)part.Differing),
            chunks.Sum(chunk => chunk.Compared?.RowsCopied ?? chunk.Rows), chunks.Where(chunk => !chunk.Keys).Sum(chunk => chunk.Rows));
    }
}
