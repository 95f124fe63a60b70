using System.Buffers.Binary;
using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;

namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>A run of frames: as the server sends them to capture, and as entries of the stream that the archive reads.
/// <code>
///  per frame: length u32, little-endian | frame
/// </code></summary>
sealed class PgOutputTarget : FuzzTarget
{
    static readonly byte[] _key = [.. Enumerable.Repeat((byte)7, 64)];

    public override string Name => "pgoutput";

    public override int UsualRounds => 3_000;

    public override bool Read(byte[] bytes)
    {
        var frames = Frames(bytes);
        // Both, whatever the first one says; what is right for one is not for the other.
        return Accepts(() => Captured(frames)) | Accepts(() => Archived(frames));
    }

    static void Captured(List<byte[]> frames)
    {
        var log = new InProcessChangeLog(1000);
        var header = new BlockHeader(BlockKind.Stream, 1, 2, 1, Guid.Empty, 0, 0, Sha256.Zero, default, default, 0, 0, false);
        var lane = new BlockLane(log, header, 1 << 20, TimeProvider.System);
        using var feed = new FrameFeed(lane, new MessageKey(_key, _key), Path.GetTempPath(), 1000, Lsn.None, NullLogger.Instance);
        foreach (var frame in frames)
            if (feed.Take(frame, new Lsn(0x100)) is { } committed)
                feed.WriteAsync(committed, () => lane.PublishAsync(CancellationToken.None)).GetAwaiter().GetResult();
    }

    static void Archived(List<byte[]> frames)
    {
        var reader = new EventReader(new SourceTables(VaultState.Empty), new LogSegmentBuilder(), new PendingCommit(), new DefinitionOrder(0), new Position(1, new Lsn(0x10)));
        foreach (var frame in frames)
            reader.Read(frame);
    }

    public override byte[] Mutate(Random random, IReadOnlyList<byte[]> corpus)
    {
        var frames = Frames(Of(random, corpus));
        for (var i = random.Next(1, 5); i > 0 && frames.Count > 0; i--)
        {
            var at = random.Next(frames.Count);
            switch (random.Next(8))
            {
                case 0: frames.RemoveAt(at); break;
                case 1: frames.Insert(at, frames[random.Next(frames.Count)]); break;
                case 2: (frames[at], frames[^1]) = (frames[^1], frames[at]); break;
                case 3 when Frames(Of(random, corpus)) is { Count: > 0 } others: frames.Insert(at, Of(random, others)); break;
                case 4 or 5: frames[at] = WithNumber(random, frames[at]); break;
                default: frames[at] = Mutation.Of(random, frames); break;
            }
        }
        return random.Next(20) == 0 ? Mutation.Of(random, [Bytes(frames)]) : Bytes(frames);
    }

    /// <summary>One of its lengths, counts, OIDs or positions is another one.</summary>
    static byte[] WithNumber(Random random, byte[] frame)
    {
        var changed = frame.ToArray();
        var width = Of(random, [2, 4, 8]);
        if (changed.Length < width)
            return changed;
        var at = changed.AsSpan(random.Next(changed.Length - width + 1), width);
        var number = random.Next(2) == 0 ? Mutation.Number(random) : (short)(BinaryPrimitives.ReadInt16BigEndian(at) + random.Next(-2, 3));
        if (width == 2)
            BinaryPrimitives.WriteInt16BigEndian(at, unchecked((short)number));
        else if (width == 4)
            BinaryPrimitives.WriteInt32BigEndian(at, number);
        else
            BinaryPrimitives.WriteInt64BigEndian(at, random.Next(2) == 0 ? number : Of(random, [long.MaxValue, long.MinValue, -1L]));
        return changed;
    }

    public static byte[] Bytes(IEnumerable<byte[]> frames)
    {
        var bytes = new List<byte>();
        foreach (var frame in frames)
        {
            bytes.AddRange(BitConverter.GetBytes(frame.Length));
            bytes.AddRange(frame);
        }
        return [.. bytes];
    }

    /// <summary>What is cut off ends early.</summary>
    static List<byte[]> Frames(ReadOnlySpan<byte> bytes)
    {
        var frames = new List<byte[]>();
        while (bytes.Length >= 4)
        {
            var length = (int)Math.Min(BinaryPrimitives.ReadUInt32LittleEndian(bytes), (uint)bytes.Length - 4);
            frames.Add(bytes.Slice(4, length).ToArray());
            bytes = bytes[(4 + length)..];
        }
        return frames;
    }
}
