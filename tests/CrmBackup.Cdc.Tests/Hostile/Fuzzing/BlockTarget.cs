using System.Buffers.Binary;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>One block, with what its entries say of themselves.</summary>
sealed class BlockTarget : FuzzTarget
{
    const int HashLength = 32;
    const int EntriesAt = 104;
    const int BodyLengthAt = 108;

    public override string Name => "block";

    public override int UsualRounds => 4_000;

    public override bool Read(byte[] bytes) => Accepts(() =>
    {
        using var block = Block.Parse(bytes);
        foreach (var entry in block)
            switch (entry.Span[0])
            {
                case EntryType.Begin: BeginEntry.Parse(entry.Span); break;
                case EntryType.Written: WrittenEntry.Parse(entry.Span); break;
                case EntryType.Control: ControlEntry.Parse(entry.Span); break;
                case PgOutputFrame.Relation: RelationFrame.Parse(entry.Span); break;
            }
    });

    public override byte[] Mutate(Random random, IReadOnlyList<byte[]> corpus)
    {
        var bytes = random.Next(3) == 0 ? Spliced(random, corpus) : Mutation.Of(random, corpus);
        if (bytes.Length < BlockHeader.Size + HashLength)
            return bytes;
        // An enemy knows how to count, and how to hash.
        if (random.Next(2) == 0)
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(BodyLengthAt), bytes.Length - BlockHeader.Size - HashLength);
        if (random.Next(8) == 0)
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(random.Next(2) == 0 ? EntriesAt : BodyLengthAt), Mutation.Number(random));
        if (random.Next(8) > 0)
            Sha256.Of(bytes.AsSpan(..^HashLength)).ToBytes().CopyTo(bytes.AsSpan(^HashLength..));
        return bytes;
    }

    /// <summary>The header of one and entries of others, some of them changed.</summary>
    static byte[] Spliced(Random random, IReadOnlyList<byte[]> corpus)
    {
        var builder = new BlockBuilder();
        for (var i = random.Next(1, 6); i > 0; i--)
            foreach (var entry in Entries(Of(random, corpus)).Where(_ => random.Next(2) == 0))
                if ((random.Next(3) == 0 ? Mutation.Of(random, [entry]) : entry) is { Length: > 0 } changed)
                    builder.Add(changed);
        if (builder.Entries == 0)
            builder.Add([(byte)random.Next(256)]);
        try
        {
            using var block = builder.Cut(BlockHeader.Parse(Of(random, corpus)));
            return block.Bytes.ToArray();
        }
        catch (FormatViolationException)
        {
            return Mutation.Of(random, corpus);
        }
    }

    static List<byte[]> Entries(byte[] bytes)
    {
        var entries = new List<byte[]>();
        try
        {
            using var block = Block.Parse(bytes);
            foreach (var entry in block)
                entries.Add(entry.ToArray());
        }
        catch (FormatViolationException)
        {
            // The corpus holds what is to be refused, too.
        }
        return entries;
    }
}
