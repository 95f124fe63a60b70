using CrmBackup.Cdc.Core;
using ParquetSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>The transactions of a segment of events, without their tuples.</summary>
static class TransactionReader
{
    public static IEnumerable<TransactionStamp> Read(ParquetFileReader file, string lsnColumn, string timeColumn, string xidColumn)
    {
        var schema = file.FileMetaData.Schema;
        var (commitLsn, commitTime, xid) = (new NumbersColumn<long>(), new NumbersColumn<long>(), new NumbersColumn<long>());
        var last = Lsn.None;
        for (var i = 0; i < file.FileMetaData.NumRowGroups; i++)
        {
            using var group = file.RowGroup(i);
            var rows = checked((int)group.MetaData.NumRows);
            commitLsn.Read(group, schema.ColumnIndex(lsnColumn), rows);
            commitTime.Read(group, schema.ColumnIndex(timeColumn), rows);
            xid.Read(group, schema.ColumnIndex(xidColumn), rows);
            for (var row = 0; row < rows; row++)
            {
                var end = new Lsn(unchecked((ulong)commitLsn[row]));
                if (end == last)
                    continue;
                last = end;
                yield return new TransactionStamp(end, new SourceTime(commitTime[row]), unchecked((ulong)xid[row]));
            }
        }
    }
}
