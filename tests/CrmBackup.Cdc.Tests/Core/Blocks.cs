using System.Text;
using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public class Blocks
{
    static Block Make(ulong number, Sha256 previous, params string[] entries)
    {
        var builder = new BlockBuilder();
        foreach (var entry in entries)
            builder.Add(Encoding.UTF8.GetBytes(entry));
        return builder.Cut(new BlockHeader(BlockKind.Stream, 7, 5, 1, Guid.Parse("11111111-2222-3333-4444-555555555555"), number, 0,
            previous, new Lsn(16), new Lsn(32), 0, 0, Last: false));
    }

    [Fact]
    public void A_block_comes_back_entry_for_entry()
    {
        using var block = Make(3, Sha256.Of("x"u8), "Iabc", "D", new string('U', 3_000_000));
        using var read = Block.Parse(block.Bytes.Span);
        Assert.Equal(block.Header, read.Header);
        Assert.Equal(block.Hash, read.Hash);
        var entries = new List<string>();
        foreach (var entry in read)
            entries.Add(Encoding.UTF8.GetString(entry.Span));
        Assert.Equal(["Iabc", "D", new string('U', 3_000_000)], entries);
    }

    [Fact]
    public void Any_flipped_bit_and_any_cut_is_found()
    {
        using var block = Make(0, Sha256.Zero, "Iabc", "Ddef");
        var bytes = block.Bytes.ToArray();
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.ThrowsAny<BackupException>(() => Block.Parse(bytes));
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }
        for (var length = 0; length < bytes.Length; length++)
            Assert.ThrowsAny<BackupException>(() => Block.Parse(bytes.AsSpan(0, length)));
    }

    [Fact]
    public void Control_entries_and_requests_come_back_equal()
    {
        var opened = new StreamOpened(new Position(1, new Lsn(99)), new Position(1, new Lsn(98)), 150020, "crm", Guid.NewGuid(), true, ["no triggers"]);
        var back = Assert.IsType<StreamOpened>(ControlEntry.Parse(opened.ToEntry()));
        Assert.Equal(opened with { Fidelity = back.Fidelity }, back);
        Assert.Equal(opened.Fidelity, back.Fidelity);
        var order = new ReadBaseChunk(Guid.NewGuid(), 4, 16400, 17, 0, null, [["1", "a"]]);
        var asked = Assert.IsType<ReadBaseChunk>(ArchiveRequest.Parse(order.ToBytes()));
        Assert.Equal(order.Keys!.Single(), asked.Keys!.Single());
        Assert.Equal(order with { Keys = null }, asked with { Keys = null });
    }

    [Fact]
    public void The_table_hash_does_not_depend_on_order_but_on_every_row()
    {
        var one = new TableHash();
        var other = new TableHash();
        var rows = Enumerable.Range(0, 100).Select(i => Sha256.Of(BitConverter.GetBytes(i)).ToBytes()).ToList();
        foreach (var row in rows)
            one.Add(row);
        foreach (var row in Enumerable.Reverse(rows))
            other.Add(row);
        Assert.True(one.Matches(other));
        other.Add(rows[0]);
        Assert.False(one.Matches(other));
    }
}
