using System.Runtime.InteropServices;

namespace CrmBackup.Cdc.Vault;

/// <summary>Keeps many byte strings in few large buffers. A value never moves once added: its memory and its address stay valid until
/// <see cref="Clear"/>. Grows from 16 KiB, so that many of them may be open.</summary>
sealed class ByteArena
{
    const int FirstChunk = 1 << 14;
    const int LargestChunk = 1 << 20;
    /// <summary>Kept for the next round: 32 MiB, one usual flush.</summary>
    const int ChunksKept = 32;

    readonly List<byte[]> _chunks = [];
    int _current;
    int _used;

    public ReadOnlyMemory<byte> Add(ReadOnlySpan<byte> value)
    {
        if (value.IsEmpty)
            return default;
        var kept = Reserve(value.Length);
        value.CopyTo(kept.Span);
        return kept;
    }

    /// <summary>Room for a value of exactly this length.</summary>
    public Memory<byte> Reserve(int length)
    {
        var kept = ChunkWith(length).AsMemory(_used, length);
        _used += length;
        return kept;
    }

    /// <summary>Where native code finds a value of an arena; zero for the empty one.</summary>
    public static nint Address(ReadOnlyMemory<byte> value) =>
        MemoryMarshal.TryGetArray(value, out var segment) && segment.Count > 0
            ? Marshal.UnsafeAddrOfPinnedArrayElement(segment.Array!, segment.Offset)
            : 0;

    public void Clear()
    {
        _chunks.RemoveAll(chunk => chunk.Length != LargestChunk);
        if (_chunks.Count > ChunksKept)
            _chunks.RemoveRange(ChunksKept, _chunks.Count - ChunksKept);
        _current = 0;
        _used = 0;
    }

    byte[] ChunkWith(int length)
    {
        while (_current < _chunks.Count && _chunks[_current].Length - _used < length)
        {
            _current++;
            _used = 0;
        }
        if (_current == _chunks.Count)
            _chunks.Add(GC.AllocateUninitializedArray<byte>(
                Math.Max(Math.Min(FirstChunk << Math.Min(_current, 10), LargestChunk), length), pinned: true));
        return _chunks[_current];
    }
}
