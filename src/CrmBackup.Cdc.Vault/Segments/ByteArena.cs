namespace CrmBackup.Cdc.Vault;

/// <summary>Keeps many byte strings in few large buffers. A value never moves once added, so its memory stays valid until <see cref="Clear"/>.</summary>
sealed class ByteArena
{
    const int ChunkSize = 1 << 20;
    /// <summary>Chunks kept for the next round: 32 MiB, one usual flush.</summary>
    const int ChunksKept = 32;

    readonly List<byte[]> _chunks = [];
    int _current;
    int _used;

    public ReadOnlyMemory<byte> Add(ReadOnlySpan<byte> value)
    {
        if (value.IsEmpty)
            return default;
        var chunk = ChunkWith(value.Length);
        value.CopyTo(chunk.AsSpan(_used));
        var kept = chunk.AsMemory(_used, value.Length);
        _used += value.Length;
        return kept;
    }

    public void Clear()
    {
        _chunks.RemoveAll(chunk => chunk.Length != ChunkSize);
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
            _chunks.Add(GC.AllocateUninitializedArray<byte>(Math.Max(ChunkSize, length)));
        return _chunks[_current];
    }
}
