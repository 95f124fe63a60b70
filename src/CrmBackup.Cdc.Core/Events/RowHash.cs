using System.Buffers.Binary;
using System.Security.Cryptography;

namespace CrmBackup.Cdc.Core;

/// <summary>The canonical hashes of DESIGN section 4, computed over tuples. Not thread-safe: one per worker.</summary>
/// <remarks>Row: column count u16, then per column length i32 (-1 NULL, -2 unchanged) and canonical text; little-endian.</remarks>
public sealed class RowHasher : IDisposable
{
    readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    /// <param name="tuple">In pgoutput's layout, columns in attnum order.</param>
    /// <param name="digest">32 bytes.</param>
    public void HashRow(ReadOnlySpan<byte> tuple, Span<byte> digest)
    {
        Append(_hash, tuple);
        _hash.GetHashAndReset(digest);
    }

    internal static void Append(IncrementalHash hash, ReadOnlySpan<byte> tuple)
    {
        var columns = new TupleReader(tuple);
        Span<byte> word = stackalloc byte[4];
        BinaryPrimitives.WriteUInt16LittleEndian(word, (ushort)columns.Count);
        hash.AppendData(word[..2]);
        for (var i = 0; i < columns.Count; i++)
        {
            var state = columns.Next(out var text);
            BinaryPrimitives.WriteInt32LittleEndian(word, state switch
            {
                ColumnState.Null => -1,
                ColumnState.Unchanged => -2,
                _ => text.Length,
            });
            hash.AppendData(word);
            hash.AppendData(text);
        }
    }

    public void Dispose() => _hash.Dispose();
}

/// <summary>The content hash of a segment: its events in order, so that a log segment and its settled twins compare.</summary>
/// <remarks>Per event: commit LSN u64, ordinal u32, op u8, relation number u32, old row, new row (an absent row is the u16 0xFFFF); little-endian.</remarks>
public sealed class ContentHasher : IDisposable
{
    static readonly byte[] Absent = [0xFF, 0xFF];
    readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);

    public void Add(in ChangeEvent change)
    {
        Span<byte> head = stackalloc byte[17];
        BinaryPrimitives.WriteUInt64LittleEndian(head, change.CommitLsn.Value);
        BinaryPrimitives.WriteInt32LittleEndian(head[8..], change.Ordinal);
        head[12] = (byte)change.Kind;
        BinaryPrimitives.WriteInt32LittleEndian(head[13..], change.Relation);
        _hash.AppendData(head);
        Row(change.OldTuple.Span);
        Row(change.NewTuple.Span);
    }

    /// <summary>A base row: only the row counts.</summary>
    public void AddRow(ReadOnlySpan<byte> tuple) => Row(tuple);

    void Row(ReadOnlySpan<byte> tuple)
    {
        if (tuple.IsEmpty)
            _hash.AppendData(Absent);
        else
            RowHasher.Append(_hash, tuple);
    }

    /// <summary>The hash so far; the hasher starts anew.</summary>
    public Sha256 Finish()
    {
        Span<byte> digest = stackalloc byte[32];
        _hash.GetHashAndReset(digest);
        return Sha256.From(digest);
    }

    public void Dispose() => _hash.Dispose();
}
