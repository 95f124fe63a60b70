using System.Buffers;
using System.Buffers.Binary;

namespace CrmBackup.Cdc.Core;

/// <summary>A run of consecutive events in commit order, the unit that travels from capture to archive.
/// <code>
///  | header 136 bytes | body: per entry: length u32, entry | SHA-256 over header and body 32 bytes |
/// </code>
/// Owns its buffer, rented from the shared pool: whoever takes the block disposes it, and keeps no slice of it after.</summary>
public sealed class Block : IDisposable
{
    byte[] _rented;
    readonly int _length;

    internal Block(BlockHeader header, byte[] rented, int length, Sha256 hash) =>
        (Header, _rented, _length, Hash) = (header, rented, length, hash);

    public BlockHeader Header { get; }

    /// <summary>The trailer: what the next block names as its previous.</summary>
    public Sha256 Hash { get; }

    /// <summary>The whole block as it travels.</summary>
    public ReadOnlyMemory<byte> Bytes => _rented.AsMemory(0, _length);

    /// <summary>The entries, in order, each without its length.</summary>
    public EntryEnumerator GetEnumerator() => new(Bytes.Slice(BlockHeader.Size, Header.BodyLength));

    /// <summary>Copies and checks the bytes of one whole block.</summary>
    public static Block Parse(ReadOnlySpan<byte> bytes)
    {
        var rented = ArrayPool<byte>.Shared.Rent(bytes.Length);
        bytes.CopyTo(rented);
        return Take(rented, bytes.Length);
    }

    /// <summary>Checks the bytes of one whole block.</summary>
    /// <param name="rented">From the shared pool; the block's from here on, and given back when it is not a block.</param>
    public static Block Take(byte[] rented, int length)
    {
        try
        {
            var bytes = rented.AsSpan(0, length);
            var header = BlockHeader.Parse(bytes);
            if (length != BlockHeader.Size + header.BodyLength + 32)
                throw new FormatViolationException($"the block is {length} bytes long, its header says {BlockHeader.Size + header.BodyLength + 32}");
            var hash = Sha256.Of(bytes[..^32]);
            if (hash != Sha256.From(bytes[^32..]))
                throw new FormatViolationException($"block {header.Number} of epoch {header.Epoch} does not match its hash");
            return new Block(header, rented, length, hash);
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(rented);
            throw;
        }
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _rented, []) is { Length: > 0 } buffer)
            ArrayPool<byte>.Shared.Return(buffer);
    }

    /// <summary>Walks the entries; each is valid until the block is disposed.</summary>
    public struct EntryEnumerator(ReadOnlyMemory<byte> body)
    {
        ReadOnlyMemory<byte> _rest = body;

        public ReadOnlyMemory<byte> Current { get; private set; }

        public bool MoveNext()
        {
            if (_rest.IsEmpty)
                return false;
            if (_rest.Length < 4)
                throw new FormatViolationException("a block ends inside an entry's length");
            var length = BinaryPrimitives.ReadUInt32LittleEndian(_rest.Span);
            if (length == 0 || length > _rest.Length - 4)
                throw new FormatViolationException($"a block's entry says it is {length} bytes long");
            Current = _rest.Slice(4, (int)length);
            _rest = _rest[(4 + (int)length)..];
            return true;
        }
    }
}

/// <summary>Gathers entries and cuts them into blocks. Reusable; not thread-safe.</summary>
public sealed class BlockBuilder
{
    byte[] _buffer = ArrayPool<byte>.Shared.Rent(1 << 20);
    int _length = BlockHeader.Size;

    public int Entries { get; private set; }

    /// <summary>Bytes of the body so far.</summary>
    public int BodyLength => _length - BlockHeader.Size;

    public void Add(ReadOnlySpan<byte> entry)
    {
        Reserve(entry.Length).Clear();
        entry.CopyTo(_buffer.AsSpan(_length - entry.Length));
    }

    /// <summary>Space for one entry of exactly this length, to be filled before the next call.</summary>
    public Span<byte> Reserve(int length)
    {
        Invariant.Holds(length > 0, "an entry has at least its type byte");
        var needed = checked(_length + 4 + length + 32);
        if (needed > _buffer.Length)
        {
            var larger = ArrayPool<byte>.Shared.Rent((int)Math.Min(Array.MaxLength, Math.Max(needed, _buffer.Length * 2L)));
            _buffer.AsSpan(0, _length).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }
        BinaryPrimitives.WriteInt32LittleEndian(_buffer.AsSpan(_length), length);
        _length += 4 + length;
        Entries++;
        return _buffer.AsSpan(_length - length, length);
    }

    /// <summary>Hands the gathered entries over as a block and starts anew.</summary>
    /// <param name="header">Entries and BodyLength are filled in here.</param>
    public Block Cut(BlockHeader header)
    {
        header = header with { Entries = Entries, BodyLength = BodyLength };
        header.Write(_buffer);
        var hash = Sha256.Of(_buffer.AsSpan(0, _length));
        hash.ToBytes().CopyTo(_buffer.AsSpan(_length));
        var block = new Block(header, _buffer, _length + 32, hash);
        _buffer = ArrayPool<byte>.Shared.Rent(1 << 20);
        _length = BlockHeader.Size;
        Entries = 0;
        return block;
    }
}
