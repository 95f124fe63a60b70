using System.Buffers.Binary;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Row operations cut by key into files that each fit in memory. Owns the files: they are gone with it.
/// <code>
///  | kind u8 | strict u8 | chunk i32 | commit u64 | xid u64 | key, old key, row: length i32 each | bytes |
/// </code></summary>
sealed class SpillPartitions : IRowOps, IDisposable
{
    const int HeadSize = 34;
    readonly FileStream[] _files;
    readonly KeyChains _chains;
    readonly int _level;
    readonly byte[] _head = new byte[HeadSize];

    /// <param name="level">How often these operations have been cut already: each level looks at other bits.</param>
    public SpillPartitions(string folder, int count, KeyChains chains, int level)
    {
        Directory.CreateDirectory(folder);
        (_chains, _level) = (chains, level);
        _files = new FileStream[count];
        for (var i = 0; i < count; i++)
            _files[i] = new FileStream(
                Path.Combine(folder, $"fold-{Guid.NewGuid():n}.spill"), FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None,
                bufferSize: 64 << 10, FileOptions.DeleteOnClose);
    }

    public int Count => _files.Length;

    public void Begin(RelationShape shape)
    {
    }

    public void Apply(in RowOp op)
    {
        if (op.Kind == RowOpKind.Void)
        {
            foreach (var file in _files)
                Write(file, op);
            return;
        }
        Write(_files[Index(_chains.PartitionHash(op.Key.IsEmpty ? op.Row : op.Key))], op);
    }

    public long Length(int partition) => _files[partition].Length;

    /// <summary>Gives a partition's operations in the order in which they came.</summary>
    public void Replay(int partition, IRowOps target)
    {
        var file = _files[partition];
        file.Position = 0;
        var body = new byte[64 << 10];
        while (file.Position < file.Length)
        {
            file.ReadExactly(_head);
            int Part(int at) => BinaryPrimitives.ReadInt32LittleEndian(_head.AsSpan(at));
            var (key, oldKey, row) = (Part(22), Part(26), Part(30));
            if (body.Length < key + oldKey + row)
                body = new byte[Math.Max(body.Length * 2, key + oldKey + row)];
            file.ReadExactly(body.AsSpan(0, key + oldKey + row));
            target.Apply(new RowOp
            {
                Kind = (RowOpKind)_head[0],
                Strict = _head[1] != 0,
                Chunk = Part(2),
                Commit = new Lsn(BinaryPrimitives.ReadUInt64LittleEndian(_head.AsSpan(6))),
                Xid = BinaryPrimitives.ReadUInt64LittleEndian(_head.AsSpan(14)),
                Key = body.AsSpan(0, key),
                OldKey = body.AsSpan(key, oldKey),
                Row = body.AsSpan(key + oldKey, row),
            });
        }
    }

    void Write(FileStream file, in RowOp op)
    {
        _head[0] = (byte)op.Kind;
        _head[1] = op.Strict ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteInt32LittleEndian(_head.AsSpan(2), op.Chunk);
        BinaryPrimitives.WriteUInt64LittleEndian(_head.AsSpan(6), op.Commit.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(_head.AsSpan(14), op.Xid);
        BinaryPrimitives.WriteInt32LittleEndian(_head.AsSpan(22), op.Key.Length);
        BinaryPrimitives.WriteInt32LittleEndian(_head.AsSpan(26), op.OldKey.Length);
        BinaryPrimitives.WriteInt32LittleEndian(_head.AsSpan(30), op.Row.Length);
        file.Write(_head);
        file.Write(op.Key);
        file.Write(op.OldKey);
        file.Write(op.Row);
    }

    int Index(ulong hash)
    {
        for (var i = 0; i < _level; i++)
            hash = BytesComparer.Mix(hash + 0x9E37_79B9_7F4A_7C15UL);
        return (int)(hash % (ulong)_files.Length);
    }

    public void Dispose()
    {
        foreach (var file in _files)
            file.Dispose();
    }
}
