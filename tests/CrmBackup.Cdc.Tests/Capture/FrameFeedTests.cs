using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class FrameFeedTests
{
    const ulong Recent = (7UL << 32) + 1000;
    static readonly byte[] _inner = [.. Enumerable.Repeat((byte)0x36, 64)];
    static readonly byte[] _outer = [.. Enumerable.Repeat((byte)0x5c, 64)];

    static byte[] Frame(char type, params object[] fields)
    {
        var frame = new List<byte> { (byte)type };
        var bytes = new byte[8];
        foreach (var field in fields)
            switch (field)
            {
                case byte one:
                    frame.Add(one);
                    break;
                case uint number:
                    BinaryPrimitives.WriteUInt32BigEndian(bytes, number);
                    frame.AddRange(bytes[..4]);
                    break;
                case ulong lsn:
                    BinaryPrimitives.WriteUInt64BigEndian(bytes, lsn);
                    frame.AddRange(bytes);
                    break;
                case string text:
                    frame.AddRange(Encoding.UTF8.GetBytes(text));
                    break;
            }
        return [.. frame];
    }

    static byte[] Message(string content, byte flags = 1, string prefix = "crmbackup") =>
        Frame('M', flags, 0x100UL, prefix, (byte)0, (uint)content.Length, content);

    static string Sealed(ulong xid, string rest)
    {
        var inner = SHA256.HashData([.. _inner, .. Encoding.UTF8.GetBytes($"{xid} {rest}")]);
        return $"{Convert.ToHexStringLower(SHA256.HashData([.. _outer, .. inner]))} {rest}";
    }

    /// <summary>What the frames become: one string per entry.</summary>
    static Task<List<string>> FeedAsync(int blockBytes, params byte[][] frames) =>
        FeedAsync(blockBytes, Lsn.None, [.. frames.Select(frame => (frame, 0UL))]);

    static async Task<List<string>> FeedAsync(int blockBytes, Lsn start, params (byte[] Frame, ulong At)[] frames)
    {
        await using var log = new InProcessChangeLog(1000);
        var header = new BlockHeader(BlockKind.Stream, 1, 2, 1, Guid.Empty, 0, 0, Sha256.Zero, default, default, 0, 0, false);
        var lane = new BlockLane(log, header, blockBytes, TimeProvider.System);
        using var feed = new FrameFeed(lane, new MessageKey(_inner, _outer), Path.GetTempPath(), Recent, start, NullLogger.Instance);
        foreach (var (frame, at) in frames)
            if (feed.Take(frame, new Lsn(at)) is { } committed)
                await feed.WriteAsync(committed, () => lane.PublishAsync(CancellationToken.None));
        if (!lane.IsEmpty)
            await lane.PublishAsync(CancellationToken.None);
        var entries = new List<string>();
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        var (blocks, previous) = (0UL, Sha256.Zero);
        await foreach (var delivery in log.ReadAsync(BlockKind.Stream, stop.Token))
        {
            Assert.Equal((blocks++, previous), (delivery.Block.Header.Number, delivery.Block.Header.Previous));
            previous = delivery.Block.Hash;
            foreach (var entry in delivery.Block)
                entries.Add(entry.Span[0] == EntryType.Begin
                    ? $"begin {BeginEntry.Parse(entry.Span).Xid} {BeginEntry.Parse(entry.Span).End}"
                    : Convert.ToHexString(entry.Span));
            var last = delivery.Block.Header.After == lane.Completed;
            await delivery.DoneAsync();
            await delivery.DisposeAsync();
            if (last)
                break;
        }
        return entries;
    }

    static string Hex(byte[] frame) => Convert.ToHexString(frame);

    [Fact]
    public async Task Ordinary_frames_pass_as_they_came()
    {
        byte[] commit = Frame('C', (byte)0, 0x200UL, 0x230UL, 0UL), insert = Frame('I', 16400u, "Nxyz");
        Assert.Equal(
            [$"begin {Recent - 1} 0/0", Hex(insert), Hex(commit)],
            await FeedAsync(1 << 20, Frame('B', 0x200UL, 0UL, 999u), insert, commit));
    }

    [Fact]
    public async Task A_streamed_transaction_comes_whole_without_what_was_rolled_back()
    {
        var frames = new List<byte[]>
        {
            Frame('S', 1001u, (byte)1), Frame('R', 1002u, 16400u, "public"), Frame('I', 1002u, 16400u, "Nundone"), Frame('E'),
            Frame('S', 1003u, (byte)1), Frame('I', 1003u, 16400u, "Nother"), Frame('E'),
        };
        for (var i = 0; i < 20_000; i++)
        {
            frames.Add(Frame('S', 1001u, (byte)0));
            frames.Add(Frame('I', 1001u, 16400u, $"N{i:000000}"));
            frames.Add(Frame('E'));
        }
        byte[] begin = Frame('B', 0x200UL, 0UL, 999u), commit = Frame('C', (byte)0, 0x200UL, 0x230UL, 0UL);
        frames.AddRange([
            begin, commit,
            Frame('A', 1001u, 1002u), Frame('A', 1003u, 1003u),
            Frame('c', 1001u, (byte)0, 0x300UL, 0x330UL, 0UL),
        ]);
        Assert.Equal(
            [
                $"begin {Recent - 1} 0/0", Hex(commit),
                $"begin {Recent + 1} 0/330", Hex(Frame('R', 16400u, "public")),
                .. Enumerable.Range(0, 20_000).Select(i => Hex(Frame('I', 16400u, $"N{i:000000}"))),
                Hex(Frame('C', (byte)0, 0x300UL, 0x330UL, 0UL)),
            ],
            await FeedAsync(32 << 10, [.. frames]));
    }

    /// <summary>The texts of its values are those of the types as they were when it was written.</summary>
    [Fact]
    public async Task A_row_written_before_ddl_that_was_committed_meanwhile_says_where()
    {
        static string Row(char of) => Hex(Frame('I', 16400u, $"N{of}"));
        static (byte[], ulong) Insert(char of, ulong at) => (Frame('I', 16400u, $"N{of}"), at);
        static (byte[], ulong) Streamed(char of, ulong at) => (Frame('I', 1003u, 16400u, $"N{of}"), at);
        static (byte[], ulong) Begin(ulong record, uint xid) => (Frame('B', record, 0UL, xid), 0);
        static (byte[], ulong) Commit(ulong record) => (Frame('C', (byte)0, record, record + 0x30, 0UL), record);
        var entries = await FeedAsync(1 << 20, new Lsn(0x100),
            // Written before the stream's start, and just after it.
            Begin(0x200, 999), Insert('a', 0x80), Insert('b', 0x80), Insert('c', 0x180), Commit(0x200),
            (Frame('S', 1003u, (byte)1), 0), Streamed('d', 0x210), (Frame('E'), 0),
            Begin(0x300, 1001), (Message(Sealed(Recent + 1, "1 {\"is\": \"ddl\"}")), 0x290), Insert('e', 0x2a0), Commit(0x300),
            Begin(0x400, 1002), Insert('f', 0x280), Insert('g', 0x380), Insert('h', 0x280), Commit(0x400),
            (Frame('S', 1003u, (byte)0), 0), Streamed('i', 0x410), (Frame('E'), 0),
            (Frame('c', 1003u, (byte)0, 0x500UL, 0x530UL, 0UL), 0));
        static string At(ulong at) => $"04{Convert.ToHexString(BitConverter.GetBytes(at))}";
        Assert.Equal(
            [
                At(0x80), Row('a'), Row('b'), At(0), Row('c'), Row('e'), At(0x280), Row('f'), At(0), Row('g'), At(0x280), Row('h'),
                At(0x210), Row('d'), At(0), Row('i'),
            ],
            entries.Where(entry => entry.StartsWith("04", StringComparison.Ordinal) || entry.StartsWith("49", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_staged_frame_may_be_larger_than_every_buffer()
    {
        var text = new string('x', 3_000_000);
        var entries = await FeedAsync(1 << 20,
            Frame('S', 1001u, (byte)1), Frame('I', 1001u, 16400u, "Nsmall"), Frame('I', 1001u, 16400u, text), Frame('I', 1001u, 16400u, "Nend"),
            Frame('E'), Frame('c', 1001u, (byte)0, 0x300UL, 0x330UL, 0UL));
        Assert.Equal([Hex(Frame('I', 16400u, "Nsmall")), Hex(Frame('I', 16400u, text)), Hex(Frame('I', 16400u, "Nend"))], entries[1..^1]);
    }

    [Fact]
    public async Task Only_what_our_key_sealed_in_this_very_transaction_is_ours()
    {
        byte[] begin = Frame('B', 0x200UL, 0UL, 999u), commit = Frame('C', (byte)0, 0x200UL, 0x230UL, 0UL);
        var ours = Message(Sealed(Recent - 1, "1 {}"));
        var entries = await FeedAsync(1 << 20,
            Message("outside", flags: 0), begin, ours, Message(Sealed(Recent - 2, "1 {}")), Message(Sealed(Recent - 1, "1 {}")[..^1] + "]"),
            Message("short"), Message(Sealed(999, "1 {}")), Message("theirs", prefix: "other"), commit);
        Assert.Equal(["be", "02", "03", "03", "03", "03", "43"], entries.Select(entry => entry[..2]));
        Assert.Equal("02" + Hex(ours), entries[1]);
    }

    [Fact]
    public async Task What_is_not_understood_is_never_skipped()
    {
        byte[][][] streams =
        [
            [Frame('?')],
            [Frame('I', 1u)],
            [Frame('S', 1u, (byte)1), Frame('B', 0UL, 0UL, 1u)],
            [Frame('B', 0UL, 0UL, 999u), Frame('B', 0UL, 0UL, 999u)],
            [Frame('c', 5u, (byte)0, 0x300UL, 0x330UL, 0UL)],
            [Frame('A', 5u, 5u)],
        ];
        foreach (var stream in streams)
            await Assert.ThrowsAsync<FormatViolationException>(() => FeedAsync(1 << 20, stream));
    }

    [Fact]
    public void Thirty_two_bits_of_a_transaction_id_become_sixty_four()
    {
        Assert.Equal(Recent, TransactionIds.Resolve(unchecked((uint)Recent), Recent));
        Assert.Equal((8UL << 32) + 3, TransactionIds.Resolve(3, (7UL << 32) + 0xFFFF_FFF0));
        Assert.Equal((7UL << 32) + 0xFFFF_FFF0, TransactionIds.Resolve(0xFFFF_FFF0, (8UL << 32) + 3));
        Assert.Equal(5UL, TransactionIds.Resolve(5, 700));
        Assert.Throws<FormatViolationException>(() => TransactionIds.Resolve(0xFFFF_FFF0, 3));
    }

    [Fact]
    public void A_password_is_found_by_the_servers_own_name()
    {
        string[] lines = ["# *:*:*:*:no", "db:5433:crm:backup:other port", "db:*:crm:backup:a\\:b\\\\c", "*:*:*:*:rest"];
        Assert.Equal("a:b\\c", PasswordFile.Find(lines, "db", 5432, "crm", "backup"));
        Assert.Equal("rest", PasswordFile.Find(lines, "/tmp/x", 5432, "crm", "backup"));
        Assert.Null(PasswordFile.Find(lines[..3], "elsewhere", 5432, "crm", "backup"));
    }
}
