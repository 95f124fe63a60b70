using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

static class TestBlocks
{
    /// <param name="bytes">Of the one entry's content, pseudo-random from the number.</param>
    public static Block Make(Guid epoch, ulong number, BlockKind kind = BlockKind.Stream, int bytes = 100)
    {
        var builder = new BlockBuilder();
        var entry = builder.Reserve(bytes + 1);
        new Random((int)number).NextBytes(entry);
        entry[0] = EntryType.CopyRows;
        return builder.Cut(new BlockHeader(
            kind, SystemIdentifier: 7_300_000_000_000_000_001, DatabaseOid: 16384, Timeline: 1, epoch, number, Order: 0,
            Sha256.Zero, new Lsn(0x1000 + number), new Lsn(0x1001 + number), Entries: 0, BodyLength: 0, Last: false));
    }

    /// <summary>Length of such a block as it travels.</summary>
    public static int Length(int bytes) => BlockHeader.Size + 4 + 1 + bytes + 32;

    /// <summary>The block's buffer is back in the pool.</summary>
    public static void AssertReturned(Block block) => Assert.ThrowsAny<ArgumentException>(() => block.Bytes);
}
