using System.Security.Cryptography;

namespace CrmBackup.Cdc.Engine;

/// <summary>Keys that a row passed on its way while columns of it were not carried: its events must be folded together, so they share a
/// partition. Keys stand here as 128 bits of their SHA-256; only such moves cost memory, not rows.</summary>
sealed class KeyChains
{
    readonly Dictionary<UInt128, UInt128> _parents = [];

    public bool IsEmpty => _parents.Count == 0;

    public void Link(ReadOnlySpan<byte> oldKey, ReadOnlySpan<byte> newKey)
    {
        var (left, right) = (Root(Digest(oldKey)), Root(Digest(newKey)));
        _parents.TryAdd(left, left);
        _parents.TryAdd(right, right);
        if (left != right)
            _parents[left] = right;
    }

    /// <summary>The bits by which partitions are cut: the same for all keys of a chain.</summary>
    public ulong PartitionHash(ReadOnlySpan<byte> key)
    {
        if (IsEmpty)
            return BytesComparer.Hash(key);
        var digest = Digest(key);
        return _parents.ContainsKey(digest) ? BytesComparer.Mix((ulong)Root(digest)) : BytesComparer.Hash(key);
    }

    UInt128 Root(UInt128 digest)
    {
        while (_parents.TryGetValue(digest, out var parent) && parent != digest)
        {
            // Halving keeps the paths short without a second walk.
            if (_parents.TryGetValue(parent, out var grandparent))
                _parents[digest] = grandparent;
            digest = parent;
        }
        return digest;
    }

    static UInt128 Digest(ReadOnlySpan<byte> key)
    {
        Span<byte> hash = stackalloc byte[32];
        SHA256.HashData(key, hash);
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128LittleEndian(hash);
    }
}

/// <summary>A first pass over the events that only looks for such moves.</summary>
sealed class ChainFinder(KeyChains chains) : IRowOps
{
    public void Begin(Core.RelationShape shape)
    {
    }

    public void Apply(in RowOp op)
    {
        if (op.Kind == RowOpKind.Move)
            chains.Link(op.OldKey, op.Key);
    }
}
