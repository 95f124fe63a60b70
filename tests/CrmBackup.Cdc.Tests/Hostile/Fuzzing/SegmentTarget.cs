using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>One segment's file, read alone, as salvage does.
/// <code>
///  | PAR1 | pages | footer: Thrift, with our description as JSON in it | footer's length u32 | PAR1 |
/// </code></summary>
sealed class SegmentTarget : FuzzTarget
{
    const int TailLength = 8;
    static readonly byte[] _key = [0x18, (byte)SegmentDescription.Key.Length, .. Encoding.ASCII.GetBytes(SegmentDescription.Key), 0x18];

    public override string Name => "segment";

    public override int UsualRounds => 300;

    public override bool Read(byte[] bytes)
    {
        // Salvage's reader: it tells whatever is wrong, and throws nothing.
        LoneSegmentReader.Examine(() => new MemoryStream(bytes), "the segment", firstRows: 3);
        return Accepts(() =>
        {
            using var file = SegmentFile.OpenAlone(new MemoryStream(bytes), "the segment");
            if (file.Description.Kind == SegmentKind.Base)
                Count(file.ReadRows());
            else
            {
                Count(file.ReadTransactions());
                Count(file.ReadEvents());
            }
            SaidText.Decode(file.Description.Said);
        });
    }

    static void Count<T>(IEnumerable<T> rows)
    {
        var count = rows.LongCount();
        if (count > 10_000_000)
            throw new InvalidOperationException($"a small file gave {count} rows");
    }

    public override byte[] Mutate(Random random, IReadOnlyList<byte[]> corpus)
    {
        var file = Of(random, corpus);
        if (FooterOf(file) is not { } footer)
            return Mutation.Of(random, corpus);
        var pages = file.AsSpan(..footer.Start);
        return random.Next(6) switch
        {
            0 => Mutation.Of(random, corpus),
            1 => Joined(Mutation.Of(random, [pages.ToArray()]), file.AsSpan(footer)),
            2 => Joined(pages, Flipped(random, file[footer])),
            3 => Joined(pages, Mutation.Of(random, [file[footer]])),
            4 => Joined(pages, Foreign(random, corpus, file.AsSpan(footer))),
            _ => Joined(pages, Described(random, file[footer])),
        };
    }

    /// <summary>Thrift of the same length: types, counts, offsets and sizes are others.</summary>
    static byte[] Flipped(Random random, byte[] footer)
    {
        // Mostly before the description, which is text.
        var end = footer.AsSpan().IndexOf(_key) is > 0 and var key && random.Next(8) > 0 ? key : footer.Length;
        for (var i = random.Next(1, 4); i > 0; i--)
        {
            var at = random.Next(end);
            footer[at] = random.Next(3) switch { 0 => (byte)random.Next(256), 1 => 0x7F, _ => (byte)(footer[at] ^ (1 << random.Next(8))) };
        }
        return footer;
    }

    static ReadOnlySpan<byte> Foreign(Random random, IReadOnlyList<byte[]> corpus, ReadOnlySpan<byte> own)
    {
        var other = Of(random, corpus);
        return FooterOf(other) is { } footer ? other.AsSpan(footer) : own;
    }

    /// <summary>Its description says something else, under a check that is right.</summary>
    static byte[] Described(Random random, byte[] footer)
    {
        var at = footer.AsSpan().IndexOf(_key) + _key.Length;
        if (at < _key.Length || !TryVarint(footer.AsSpan(at), out var length, out var used) || length > footer.Length - at - used)
            return footer;
        try
        {
            var description = JsonNode.Parse(footer.AsSpan(at + used, length))!.AsObject();
            description.Remove("check");
            JsonMutation.Change(random, description, description.DeepClone());
            var body = JsonSerializer.SerializeToUtf8Bytes(description, JsonMutation.Plain).AsSpan()[..^1];
            byte[] json = [.. body, .. ",\"check\":\""u8, .. Encoding.ASCII.GetBytes(Sha256.Of(body).Hex), .. "\"}"u8];
            return [.. footer.AsSpan(..at), .. Varint(json.Length), .. json, .. footer.AsSpan((at + used + length)..)];
        }
        catch (Exception unreadable) when (unreadable is JsonException or ArgumentException or InvalidOperationException)
        {
            return Mutation.Of(random, [footer]);
        }
    }

    static byte[] Joined(ReadOnlySpan<byte> pages, ReadOnlySpan<byte> footer)
    {
        var file = new byte[pages.Length + footer.Length + TailLength];
        pages.CopyTo(file);
        footer.CopyTo(file.AsSpan(pages.Length));
        BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(^TailLength..), footer.Length);
        "PAR1"u8.CopyTo(file.AsSpan(^4..));
        return file;
    }

    static Range? FooterOf(byte[] file) =>
        file.Length > TailLength && LoneSegmentReader.FooterLength(file.AsSpan(^TailLength..)) is { } length && length <= file.Length - TailLength
            ? (file.Length - TailLength - length)..(file.Length - TailLength) : null;

    static bool TryVarint(ReadOnlySpan<byte> bytes, out int value, out int used)
    {
        (value, used) = (0, 0);
        while (used < Math.Min(bytes.Length, 5))
        {
            value |= (bytes[used] & 0x7F) << (7 * used);
            if (bytes[used++] < 0x80)
                return value >= 0;
        }
        return false;
    }

    static List<byte> Varint(int value)
    {
        var bytes = new List<byte>();
        for (; value >= 0x80; value >>= 7)
            bytes.Add((byte)(value | 0x80));
        bytes.Add((byte)value);
        return bytes;
    }
}
