using System.Runtime.CompilerServices;
using CrmBackup.Cdc.Core;
using Parquet;

namespace CrmBackup.Cdc.Vault;

/// <summary>Reads log segments by Parquet.Net: slower, kept to check the one library by the other.</summary>
public static class LogSegmentCrossReader
{
    /// <summary>The events in commit order; their tuples stay valid.</summary>
    public static async IAsyncEnumerable<ChangeEvent> ReadAsync(
        Stream stream, [EnumeratorCancellation] CancellationToken stop)
    {
        await using var reader = await ParquetReader.CreateAsync(stream, cancellationToken: stop);
        for (var i = 0; i < reader.RowGroupCount; i++)
        {
            using var group = reader.OpenRowGroupReader(i);
            var rows = checked((int)group.RowCount);
            long[] commitLsn = new long[rows], commitTime = new long[rows], xid = new long[rows];
            int[] ordinal = new int[rows], op = new int[rows], relation = new int[rows], shape = new int[rows], oldKind = new int[rows];
            byte[]?[] oldTuple = new byte[rows][], newTuple = new byte[rows][];
            await group.ReadAsync<long>(LogSegmentFile.CommitLsn, commitLsn, cancellationToken: stop);
            await group.ReadAsync<long>(LogSegmentFile.CommitTime, commitTime, cancellationToken: stop);
            await group.ReadAsync<long>(LogSegmentFile.Xid, xid, cancellationToken: stop);
            await group.ReadAsync<int>(LogSegmentFile.Ordinal, ordinal, cancellationToken: stop);
            await group.ReadAsync<int>(LogSegmentFile.Op, op, cancellationToken: stop);
            await group.ReadAsync<int>(LogSegmentFile.Relation, relation, cancellationToken: stop);
            await group.ReadAsync<int>(LogSegmentFile.Shape, shape, cancellationToken: stop);
            await group.ReadAsync<int>(LogSegmentFile.OldKind, oldKind, cancellationToken: stop);
            await group.ReadAsync(LogSegmentFile.OldTuple, oldTuple.AsMemory()!, cancellationToken: stop);
            await group.ReadAsync(LogSegmentFile.NewTuple, newTuple.AsMemory()!, cancellationToken: stop);
            for (var row = 0; row < rows; row++)
                yield return new ChangeEvent(
                    new Lsn(unchecked((ulong)commitLsn[row])), new SourceTime(commitTime[row]), unchecked((ulong)xid[row]),
                    ordinal[row], (EventKind)op[row], relation[row], shape[row], (OldTupleKind)oldKind[row],
                    oldTuple[row], newTuple[row]);
        }
    }
}
