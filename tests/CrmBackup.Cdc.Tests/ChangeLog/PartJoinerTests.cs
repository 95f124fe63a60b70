using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class PartJoinerTests
{
    readonly Guid _epoch = Guid.NewGuid();
    readonly PartJoiner _joiner = new();

    [Theory]
    [InlineData(1)]
    [InlineData(100)]
    [InlineData(1000)]
    [InlineData(4096)]
    public void What_was_cut_is_joined_to_the_same_block(int bytesMax)
    {
        using var block = TestBlocks.Make(_epoch, 3, bytes: 1000);
        Block? joined = null;
        foreach (var (part, bytes) in BlockPart.Cut(block, bytesMax))
        {
            Assert.Null(joined);
            joined = _joiner.Add(Travelled(part, bytes.Length), bytes.Span, out var dropped);
            Assert.False(dropped);
        }
        Assert.Equal(block.Bytes.ToArray(), joined!.Bytes.ToArray());
        Assert.False(_joiner.IsWithin);
        joined.Dispose();
    }

    [Fact]
    public void A_block_that_misses_a_part_is_given_up_and_the_next_is_whole()
    {
        using var torn = TestBlocks.Make(_epoch, 1, bytes: 1000);
        using var whole = TestBlocks.Make(_epoch, 2, bytes: 1000);
        for (var missing = 0; missing < 4; missing++)
        {
            var drops = 0;
            foreach (var (part, bytes) in BlockPart.Cut(torn, 300).Where(cut => cut.Part.Number != missing))
            {
                Assert.Null(_joiner.Add(part, bytes.Span, out var dropped));
                drops += dropped ? 1 : 0;
            }
            Block? joined = null;
            foreach (var (part, bytes) in BlockPart.Cut(whole, 300))
            {
                joined = _joiner.Add(part, bytes.Span, out var dropped);
                drops += dropped ? 1 : 0;
            }
            Assert.Equal(2UL, joined!.Header.Number);
            Assert.True(drops > 0);
            joined.Dispose();
        }
    }

    [Fact]
    public void Damaged_bytes_are_not_a_block()
    {
        using var block = TestBlocks.Make(_epoch, 1, bytes: 1000);
        var bytes = block.Bytes.ToArray();
        bytes[500] ^= 1;
        Assert.Throws<FormatViolationException>(() => _joiner.Add(new BlockPart("", 0, 1, bytes.Length), bytes, out _));
    }

    /// <summary>As it comes out of the message that it went into.</summary>
    static BlockPart Travelled(BlockPart part, int length)
    {
        var properties = part.Properties();
        if (properties.Headers is { } headers)
            headers["block"] = System.Text.Encoding.ASCII.GetBytes((string)headers["block"]!);
        return BlockPart.Of(properties, length) with { Block = part.Block };
    }
}
