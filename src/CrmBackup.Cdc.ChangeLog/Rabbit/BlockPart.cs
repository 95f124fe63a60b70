using System.Buffers;
using CrmBackup.Cdc.Core;
using RabbitMQ.Client;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>Which piece of a block a message is. A block that fits is one message without headers; a larger one is several, back to back,
/// with the headers <c>block</c> (its hash), <c>part</c> (from 0), <c>parts</c> and <c>length</c> (of the whole block).</summary>
readonly record struct BlockPart(string Block, int Number, int Count, int Length)
{
    public static IEnumerable<(BlockPart Part, ReadOnlyMemory<byte> Bytes)> Cut(Block block, int bytesMax)
    {
        var bytes = block.Bytes;
        var count = (int)((bytes.Length + (long)bytesMax - 1) / bytesMax);
        for (var number = 0; number < count; number++)
        {
            var start = number * bytesMax;
            yield return (new BlockPart(block.Hash.Hex, number, count, bytes.Length),
                bytes.Slice(start, Math.Min(bytesMax, bytes.Length - start)));
        }
    }

    public BasicProperties Properties()
    {
        var properties = new BasicProperties { Persistent = true, Type = "block" };
        if (Count > 1)
            properties.Headers = new Dictionary<string, object?>
            {
                ["block"] = Block,
                ["part"] = Number,
                ["parts"] = Count,
                ["length"] = Length,
            };
        return properties;
    }

    public static BlockPart Of(IReadOnlyBasicProperties properties, int length)
    {
        if (properties.Type != "block")
            throw new FormatViolationException($"a message of the unknown type '{properties.Type}' is in the change log");
        if (properties.Headers is not { } headers)
            return new BlockPart("", 0, 1, length);
        if (headers.TryGetValue("block", out var block) && block is byte[] { Length: 64 } hash
            && headers.TryGetValue("part", out var part) && part is int number
            && headers.TryGetValue("parts", out var parts) && parts is int count
            && headers.TryGetValue("length", out var whole) && whole is int total
            && number >= 0 && number < count && count > 1 && total <= BlockHeader.Size + BlockHeader.BodyLengthMax + 32)
            return new BlockPart(System.Text.Encoding.ASCII.GetString(hash), number, count, total);
        throw new FormatViolationException("a message in the change log does not say which part of a block it is");
    }
}

/// <summary>Puts the parts of a block together again. What misses a part is given up: the hole in the blocks' numbers tells the archive.</summary>
sealed class PartJoiner : IDisposable
{
    byte[] _rented = [];
    BlockPart _last;
    int _length;

    /// <summary>True while more parts of a block are awaited.</summary>
    public bool IsWithin => _rented.Length > 0;

    /// <summary>The block that this message completes, if any.</summary>
    /// <param name="dropped">Earlier parts, or this one, belonged to a block that will not be complete.</param>
    public Block? Add(BlockPart part, ReadOnlySpan<byte> body, out bool dropped)
    {
        dropped = IsWithin && part != _last with { Number = _last.Number + 1 };
        if (dropped)
            Dispose();
        if (part.Count == 1)
            return Block.Parse(body);
        if (!IsWithin)
        {
            if (part.Number > 0)
            {
                dropped = true;
                return null;
            }
            _rented = ArrayPool<byte>.Shared.Rent(part.Length);
            _length = 0;
        }
        if (body.Length > part.Length - _length)
            throw new FormatViolationException("the parts of a block are longer than the block");
        body.CopyTo(_rented.AsSpan(_length));
        _length += body.Length;
        _last = part;
        if (part.Number < part.Count - 1)
            return null;
        var (rented, length) = (_rented, _length);
        _rented = [];
        return Block.Take(rented, length);
    }

    public void Dispose()
    {
        if (_rented.Length > 0)
            ArrayPool<byte>.Shared.Return(_rented);
        _rented = [];
    }
}
