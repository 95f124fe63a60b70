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
        foreach (var key in Updates(vault, shape, oldest,
            change => Key(shape, change.NewTuple.Span, out var unfilled) is { } key && unfilled ? key : null))
            keys.TryAdd(Joined(key), key);
        return [.. keys.Values];
    }

    /// <summary>True when a row that was asked for by key had left that key by an event without its TOASTed value: where it is now, its
    /// value may stand in none of the chunks.</summary>
    /// <param name="asked">What <see cref="Of"/> gave for the chunk of keys.</param>
    public static bool Moved(
        BackupVault vault, RelationShape shape, IReadOnlyList<BaseChunk> chunks, IReadOnlyList<IReadOnlyList<string>> asked)
    {
        var missing = asked.Select(Joined).ToHashSet(StringComparer.Ordinal);
        foreach (var repair in chunks.Where(chunk => chunk.Keys))
            foreach (var entry in vault.State.Segments.Values.Where(entry => entry.Kind == SegmentKind.Base
                && entry.Relation == repair.Relation && entry.BaseId == repair.BaseId && entry.Chunk == repair.Chunk))
            {
                using var segment = SegmentFile.OpenVerified(vault.Medium.OpenRead(entry.Path), entry);
                foreach (var row in segment.ReadRows())
                    missing.Remove(Joined(Key(shape, row.Span, out _)));
            }
        if (missing.Count == 0)
            return false;
        var oldest = chunks.Select(chunk => Snapshot.Parse(chunk.Snapshot)).MinBy(snapshot => snapshot.Xmin)!;
        return Updates(vault, shape, oldest, change => change.OldKind != OldTupleKind.None
            && missing.Contains(Joined(Key(shape, change.OldTuple.Span, out _)))
            && Key(shape, change.NewTuple.Span, out var unfilled) is { } key && unfilled
            && !missing.Contains(Joined(key)) ? key : null).Any();
    }

    /// <summary>What is wanted of the updates that the oldest chunk did not see.</summary>
    static IEnumerable<List<string>> Updates(
        BackupVault vault, RelationShape shape, Snapshot oldest, Func<ChangeEvent, List<string>?> wanted)
    {
        foreach (var entry in vault.State.Segments.Values.Where(entry => entry.MaxXid >= oldest.Xmin
            && (entry.Kind == SegmentKind.Log || (entry.Kind == SegmentKind.Changes && entry.Relation == shape.Number))))
        {
            using var segment = SegmentFile.OpenVerified(vault.Medium.OpenRead(entry.Path), entry);
            foreach (var change in segment.ReadEvents(shape.Number))
                if (change.Kind == EventKind.Update && change.Shape == shape.Version && !oldest.Sees(change.Xid)
                    && wanted(change) is { } key)
                    yield return key;
        }
    }

    static List<string> Key(RelationShape shape, ReadOnlySpan<byte> tuple, out bool unfilled)
    {
        var columns = new TupleReader(tuple);
        var key = new List<string>();
        unfilled = false;
        for (var i = 0; i < columns.Count; i++)
        {
            var state = columns.Next(out var text);
            unfilled |= state == ColumnState.Unchanged;
            if (shape.Columns[i].IsKey)
                key.Add(Encoding.UTF8.GetString(text));
        }
        return key;
    }

    static string Joined(IReadOnlyList<string> key) => string.Join('\0', key);
}
