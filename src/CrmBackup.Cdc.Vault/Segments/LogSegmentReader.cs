using CrmBackup.Cdc.Core;
using ParquetSharp;

namespace CrmBackup.Cdc.Vault;

/// <summary>Reads log segments by ParquetSharp, one row group in memory at a time.</summary>
static class LogSegmentReader
{
    public static IEnumerable<ChangeEvent> Read(ParquetFileReader file, int? only)
    {
        var schema = file.FileMetaData.Schema;
        int Column(string name) => schema.ColumnIndex(name) is >= 0 and var index
            ? index
            : throw new FormatViolationException($"a log segment has no column {name}");
        var (commitLsn, commitTime, xid) = (new NumbersColumn<long>(), new NumbersColumn<long>(), new NumbersColumn<long>());
        var (ordinal, op, relation) = (new NumbersColumn<int>(), new NumbersColumn<int>(), new NumbersColumn<int>());
        var (shape, oldKind) = (new NumbersColumn<int>(), new NumbersColumn<int>());
        var (oldTuple, newTuple) = (new BytesColumn(), new BytesColumn());
        for (var i = 0; i < file.FileMetaData.NumRowGroups; i++)
        {
            using var group = file.RowGroup(i);
            var rows = checked((int)group.MetaData.NumRows);
            relation.Read(group, Column("relation"), rows);
            if (only is { } wanted && !relation.Contains(wanted))
                continue;
            commitLsn.Read(group, Column("commit_lsn"), rows);
            commitTime.Read(group, Column("commit_time"), rows);
            xid.Read(group, Column("xid"), rows);
            ordinal.Read(group, Column("ordinal"), rows);
            op.Read(group, Column("op"), rows);
            shape.Read(group, Column("shape"), rows);
            oldKind.Read(group, Column("old_kind"), rows);
            oldTuple.Read(group, Column("old_tuple"), rows);
            newTuple.Read(group, Column("new_tuple"), rows);
            for (var row = 0; row < rows; row++)
                if (only is null || relation[row] == only)
                    yield return new ChangeEvent(
                        new Lsn(unchecked((ulong)commitLsn[row])), new SourceTime(commitTime[row]), unchecked((ulong)xid[row]),
                        ordinal[row], (EventKind)op[row], relation[row], shape[row], (OldTupleKind)oldKind[row],
                        oldTuple[row], newTuple[row]);
        }
    }
}
