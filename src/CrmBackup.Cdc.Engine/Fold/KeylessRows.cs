using System.Runtime.InteropServices;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>The rows of a table without a key: a multiset of whole rows. One snapshot for the whole base, so every event that is replayed
/// must find its row; of identical rows exactly one goes.</summary>
sealed class KeylessRows
{
    const int EntryOverhead = 72;
    readonly Dictionary<byte[], long> _rows = new(BytesComparer.Instance);

    public long Bytes { get; private set; }

    public void Apply(in RowOp op)
    {
        switch (op.Kind)
        {
            case RowOpKind.Base or RowOpKind.Put:
                Add(op.Row, 1);
                break;
            case RowOpKind.Remove:
                Remove(op.Row);
                break;
            case RowOpKind.Void:
                _rows.Clear();
                Bytes = 0;
                break;
            default:
                throw new InvalidOperationException($"a table without a key has no operation {op.Kind}");
        }
    }

    public void Add(ReadOnlySpan<byte> row, long times)
    {
        ref var count = ref CollectionsMarshal.GetValueRefOrAddDefault(
            _rows.GetAlternateLookup<ReadOnlySpan<byte>>(), row, out var exists);
        count += times;
        if (!exists)
            Bytes += row.Length + EntryOverhead;
    }

    public IEnumerable<(byte[] Row, long Times)> Finish() => _rows.Select(row => (row.Key, row.Value));

    void Remove(ReadOnlySpan<byte> row)
    {
        var rows = _rows.GetAlternateLookup<ReadOnlySpan<byte>>();
        ref var count = ref CollectionsMarshal.GetValueRefOrNullRef(rows, row);
        if (System.Runtime.CompilerServices.Unsafe.IsNullRef(ref count))
            throw new FormatViolationException("the row that goes is not there");
        if (--count > 0)
            return;
        rows.Remove(row);
        Bytes -= row.Length + EntryOverhead;
    }
}
