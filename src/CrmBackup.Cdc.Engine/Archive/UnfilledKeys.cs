using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The keys of rows that an event in the window of a chunked base updated without carrying a TOASTed value: such a row may stand
/// in none of the chunks, so it is read once more by key (rule 5).</summary>
static class UnfilledKeys
{
    /// <returns>Key column texts, in key order, each key once.</returns>
    public static IReadOnlyList<IReadOnlyList<string>> Of(BackupVault vault, RelationShape shape, IReadOnlyList<BaseChunk> chunks)
    {
        var oldest = chunks.Select(chunk => Snapshot.Parse(chunk.Snapshot)).MinBy(snapshot => snapshot.Xmin)!;
        var keys = new Dictionary<string, IReadOnlyList<string>>(StringComparer.Ordinal);
        foreach (var entry in vault.State.Segments.Values.Where(entry => entry.MaxXid >= oldest.Xmin
            && (entry.Kind == SegmentKind.Log || (entry.Kind == SegmentKind.Changes && entry.Relation == shape.Number))))
        {
            using var segment = SegmentFile.OpenVerified(vault.Medium.OpenRead(entry.Path), entry);
            foreach (var change in segment.ReadEvents(shape.Number))
                if (change.Kind == EventKind.Update && change.Shape == shape.Version && !oldest.Sees(change.Xid)
                    && KeyIfUnfilled(shape, change.NewTuple.Span) is { } key)
                    keys.TryAdd(string.Join('\0', key), key);
        }
        return [.. keys.Values];
    }

    static List<string>? KeyIfUnfilled(RelationShape shape, ReadOnlySpan<byte> tuple)
    {
        var columns = new TupleReader(tuple);
        var key = new List<string>();
        var unfilled = false;
        for (var i = 0; i < columns.Count; i++)
        {
            var state = columns.Next(out var text);
            unfilled |= state == ColumnState.Unchanged;
            if (shape.Columns[i].IsKey)
                key.Add(Encoding.UTF8.GetString(text));
        }
        return unfilled ? key : null;
    }
}
