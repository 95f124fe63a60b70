using System.Buffers.Binary;
using System.Security.Cryptography;

namespace CrmBackup.Cdc.Core;

/// <summary>The canonical form of rows that hashes are taken over, gathered so that the hash sees few, large pieces.</summary>
/// <remarks>Row: column count u16, then per column length i32 (-1 NULL, -2 unchanged) and canonical text; little-endian.</remarks>
sealed class CanonicalBytes : IDisposable
{
    const int Piece = 16 * 1024;
    readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    readonly byte[] _buffer = new byte[Piece];
    int _length;

    /// <summary>Space for a small field, to be filled at once.</summary>
    public Span<byte> Take(int length)
    {
        if (_length + length > Piece)
            Flush();
        _length += length;
        return _buffer.AsSpan(_length - length, length);
    }

    public void Row(ReadOnlySpan<byte> tuple)
    {
        var columns = new TupleReader(tuple);
        BinaryPrimitives.WriteUInt16LittleEndian(Take(2), (ushort)columns.Count);
        for (var i = 0; i < columns.Count; i++)
        {
            var state = columns.Next(out var text);
            BinaryPrimitives.WriteInt32LittleEndian(Take(4), state switch
            {
                ColumnState.Null => -1,
                ColumnState.Unchanged => -2,
                _ => text.Length,
            });
            if (text.Length <= Piece / 4)
            {
                text.CopyTo(Take(text.Length));
            }
            else
            {
                Flush();
                _hash.AppendData(text);
            }
        }
    }

    /// <summary>The hash of everything so far, 32 bytes; starts anew.</summary>
    public void Finish(Span<byte> digest)
    {
        Flush();
        _hash.GetHashAndReset(digest);
    }

    public void Dispose() => _hash.Dispose();

    void Flush()
    {
        _hash.AppendData(_buffer.AsSpan(0, _length));
        _length = 0;
    }
}

/// <summary>The hash of one row. Not thread-safe: one per worker.</summary>
public sealed class RowHasher : IDisposable
{
    readonly CanonicalBytes _bytes = new();

    /// <param name="tuple">In pgoutput's layout, columns in attnum order.</param>
    /// <param name="digest">32 bytes.</param>
    public void HashRow(ReadOnlySpan<byte> tuple, Span<byte> digest)
    {
        _bytes.Row(tuple);
        _bytes.Finish(digest);
    }

    public void Dispose() => _bytes.Dispose();
}

/// <summary>The content hash of a segment: its events in order, so that a log segment and its settled twins compare.</summary>
/// <remarks>Per event: commit LSN u64, ordinal u32, op u8, relation number u32, old row, new row (an absent row is the u16 0xFFFF);
/// little-endian.</remarks>
public sealed class ContentHasher : IDisposable
{
    readonly CanonicalBytes _bytes = new();

    public void Add(in ChangeEvent change)
    {
        var head = _bytes.Take(17);
        BinaryPrimitives.WriteUInt64LittleEndian(head, change.CommitLsn.Value);
        BinaryPrimitives.WriteInt32LittleEndian(head[8..], change.Ordinal);
        head[12] = (byte)change.Kind;
        BinaryPrimitives.WriteInt32LittleEndian(head[13..], change.Relation);
        AddRow(change.OldTuple.Span);
        AddRow(change.NewTuple.Span);
    }

    /// <summary>A base row: only the row counts. An empty span is an absent row.</summary>
    public void AddRow(ReadOnlySpan<byte> tuple)
    {
        if (tuple.IsEmpty)
            BinaryPrimitives.WriteUInt16LittleEndian(_bytes.Take(2), 0xFFFF);
        else
            _bytes.Row(tuple);
    }

    /// <summary>The hash so far; the hasher starts anew.</summary>
    public Sha256 Finish()
    {
        Span<byte> digest = stackalloc byte[32];
        _bytes.Finish(digest);
        return Sha256.From(digest);
    }

    public void Dispose() => _bytes.Dispose();
}
