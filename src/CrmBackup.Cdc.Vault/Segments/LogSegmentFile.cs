using System.IO.Compression;
using CrmBackup.Cdc.Core;
using Parquet;
using Parquet.Schema;

namespace CrmBackup.Cdc.Vault;

/// <summary>Writes log segments: physical columns only, by Parquet.Net, whose statistics are right for those.
/// <code>
///  commit_lsn i64 | commit_time i64, µs since 1970 | xid i64 | ordinal i32 | op i32, ASCII | relation i32 | shape i32
///  | old_kind i32, ASCII or 0 | old_tuple bytes? | new_tuple bytes?      ordered by (commit_lsn, ordinal)
/// </code></summary>
public static class LogSegmentFile
{
    internal static readonly DataField<long> CommitLsn = new("commit_lsn");
    internal static readonly DataField<long> CommitTime = new("commit_time");
    internal static readonly DataField<long> Xid = new("xid");
    internal static readonly DataField<int> Ordinal = new("ordinal");
    internal static readonly DataField<int> Op = new("op");
    internal static readonly DataField<int> Relation = new("relation");
    internal static readonly DataField<int> Shape = new("shape");
    internal static readonly DataField<int> OldKind = new("old_kind");
    internal static readonly DataField OldTuple = new("old_tuple", typeof(byte[]), isNullable: true);
    internal static readonly DataField NewTuple = new("new_tuple", typeof(byte[]), isNullable: true);

    static readonly ParquetSchema Schema =
        new(CommitLsn, CommitTime, Xid, Ordinal, Op, Relation, Shape, OldKind, OldTuple, NewTuple);

    static readonly ParquetOptions Options = new()
    {
        CompressionMethod = CompressionMethod.Zstd,
        // The library's own default is level 19.
        CompressionLevel = CompressionLevel.Fastest,
        DictionaryEncodingThreshold = 0.3,
        DictionaryEncodingSampleSize = 4096,
    };

    /// <summary>Writes the first <paramref name="rows"/> rows, all complete, and leaves them in the builder: drop them when the
    /// segment is committed. The stream is neither flushed to disk nor closed.</summary>
    /// <param name="path">The segment's name in the vault, for its entry.</param>
    /// <param name="shapeOf">Finds the shapes that the rows name.</param>
    /// <param name="said">What commits have said since the segment before (<see cref="SaidText"/>).</param>
    public static async Task<SegmentEntry> WriteAsync(
        Stream output, string path, LogSegmentBuilder builder, int rows, SegmentOrigin origin,
        Func<int, int, RelationShape> shapeOf, CancellationToken stop, SegmentLink? link = null, string? said = null)
    {
        Invariant.Holds(rows > 0 && rows <= builder.CompleteRows, "a log segment was asked for rows that are not complete");
        var description = Describe(builder, rows, origin, shapeOf) with { Link = link, Said = said };
        var hashing = new HashingStream(output);
        await using (var writer = await ParquetWriter.CreateAsync(Schema, hashing, Options, append: false, stop))
        {
            writer.CustomMetadata = new Dictionary<string, string> { [SegmentDescription.Key] = description.ToJson() };
            for (var first = 0; first < rows;)
            {
                var count = RowGroupLimit.RowsFrom(first, rows, builder.Weight);
                using var group = writer.CreateRowGroup();
                await WriteRowGroupAsync(group, builder, first, count, stop);
                first += count;
            }
        }
        return description.ToEntry(path, hashing.Written, hashing.Finish());
    }

    static async Task WriteRowGroupAsync(
        ParquetRowGroupWriter group, LogSegmentBuilder builder, int first, int count, CancellationToken stop)
    {
        await group.WriteAsync<long>(CommitLsn, builder.CommitLsns.AsMemory(first, count), cancellationToken: stop);
        await group.WriteAsync<long>(CommitTime, builder.CommitTimes.AsMemory(first, count), cancellationToken: stop);
        await group.WriteAsync<long>(Xid, builder.Xids.AsMemory(first, count), cancellationToken: stop);
        await group.WriteAsync<int>(Ordinal, builder.Ordinals.AsMemory(first, count), cancellationToken: stop);
        await group.WriteAsync<int>(Op, builder.Ops.AsMemory(first, count), cancellationToken: stop);
        await group.WriteAsync<int>(Relation, builder.Relations.AsMemory(first, count), cancellationToken: stop);
        await group.WriteAsync<int>(Shape, builder.Shapes.AsMemory(first, count), cancellationToken: stop);
        await group.WriteAsync<int>(OldKind, builder.OldKinds.AsMemory(first, count), cancellationToken: stop);
        await WriteTuplesAsync(group, OldTuple, builder.OldTuples.AsMemory(first, count), stop);
        await WriteTuplesAsync(group, NewTuple, builder.NewTuples.AsMemory(first, count), stop);
    }

    static Task WriteTuplesAsync(
        ParquetRowGroupWriter group, DataField field, ReadOnlyMemory<ReadOnlyMemory<byte>> tuples, CancellationToken stop)
    {
        // An absent tuple is empty here and NULL in the file: a real tuple has at least its column count.
        var present = new ReadOnlyMemory<byte>[tuples.Length];
        var levels = new int[tuples.Length];
        var values = 0;
        for (var i = 0; i < tuples.Length; i++)
        {
            var tuple = tuples.Span[i];
            if (tuple.IsEmpty)
                continue;
            levels[i] = 1;
            present[values++] = tuple;
        }
        return group.WriteAllPartsAsync<ReadOnlyMemory<byte>>(field, present.AsMemory(0, values), levels, null, stop);
    }

    static SegmentDescription Describe(
        LogSegmentBuilder builder, int rows, SegmentOrigin origin, Func<int, int, RelationShape> shapeOf)
    {
        using var tally = new EventTally();
        var shapes = new Dictionary<(int, int), RelationShape>();
        for (var row = 0; row < rows; row++)
        {
            var change = builder[row];
            tally.Add(change);
            if (change.Relation != 0 && !shapes.ContainsKey((change.Relation, change.Shape)))
                shapes.Add((change.Relation, change.Shape), shapeOf(change.Relation, change.Shape));
        }
        return new SegmentDescription(
            origin, SegmentKind.Log, Relation: 0, Shape: 0, BaseId: 0, Chunk: 0, tally.Rows, tally.ContentHash(),
            tally.First, tally.Last, tally.FirstTime, tally.LastTime, tally.MaxXid, [.. shapes.Values]);
    }
}
