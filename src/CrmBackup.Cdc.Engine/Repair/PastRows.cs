using System.Buffers.Binary;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What the vault knows of a table, in ranges of keys with their hashes. Read by another thread than the one that plans and ends.
/// <code>
///  range: | first key u128 | rows i32 | hash 32 bytes | length of the rows i64 | rows: length i32, tuple … |   little-endian
/// </code></summary>
sealed class PastRows : IDisposable
{
    const int HeadSize = 60;
    /// <summary>A range is held in memory, and is copied whole where one of its rows differs.</summary>
    const int RangeBytes = 256 << 10;
    /// <summary>Rows with one value in the key column cannot be parted.</summary>
    const int RangeBytesMax = 64 << 20;
    const long PartBytes = 64L << 20;
    readonly Lock _gate = new();
    readonly Scratch _scratch;
    readonly uint _type;
    UInt128? _highest;
    bool _ended;

    PastRows(Scratch scratch, uint type) => (_scratch, _type) = (scratch, type);

    /// <param name="First">Its lowest key.</param>
    /// <param name="At">Of its rows in the scratch.</param>
    public readonly record struct Range(UInt128 First, int Rows, Sha256 Hash, long At, long Bytes);

    public long Rows { get; private set; }

    /// <param name="rows">In the order of their keys.</param>
    /// <exception cref="RepairImpossibleException">Too many rows share one value of the key column.</exception>
    public static PastRows Of(IEnumerable<(UInt128 Key, byte[] Row)> rows, uint type, int rangeRows, Scratch scratch, CancellationToken stop)
    {
        var past = new PastRows(scratch, type);
        var hasher = new RangeHasher();
        var body = new MemoryStream();
        var (first, count) = (UInt128.Zero, 0);
        var length = new byte[4];
        foreach (var (key, row) in rows)
        {
            if (count > 0 && key != past._highest && (count >= rangeRows || body.Length >= RangeBytes))
            {
                stop.ThrowIfCancellationRequested();
                Close();
            }
            if (body.Length > RangeBytesMax)
                throw new RepairImpossibleException($"too many of its rows have {OrderedKey.Format(type, key)} in the first column of their key");
            if (count++ == 0)
                first = key;
            past._highest = key;
            BinaryPrimitives.WriteInt32LittleEndian(length, row.Length);
            body.Write(length);
            body.Write(row);
            hasher.Add(row);
        }
        if (count > 0)
            Close();
        return past;

        void Close()
        {
            past.Append(first, hasher.Finish(), body);
            (count, body.Position) = (0, 0);
            body.SetLength(0);
        }
    }

    void Append(UInt128 first, (int Rows, Sha256 Hash) set, MemoryStream body)
    {
        Span<byte> head = stackalloc byte[HeadSize];
        BinaryPrimitives.WriteUInt128LittleEndian(head, first);
        BinaryPrimitives.WriteInt32LittleEndian(head[16..], set.Rows);
        set.Hash.ToBytes().CopyTo(head[20..]);
        BinaryPrimitives.WriteInt64LittleEndian(head[52..], body.Length);
        _scratch.Append(head);
        _scratch.Append(body.GetBuffer().AsSpan(0, (int)body.Length));
        Rows += set.Rows;
    }

    /// <summary>The ranges that are compared together from a place on, and the place after them.</summary>
    public (List<Range> Ranges, long Next) Part(long place, int rowsMax)
    {
        var (ranges, rows, bytes) = (new List<Range>(), 0L, 0L);
        while (RangeAt(place) is { } range && (ranges.Count == 0 || (rows + range.Rows <= rowsMax && bytes + range.Bytes <= PartBytes)))
        {
            ranges.Add(range);
            (rows, bytes) = (rows + range.Rows, bytes + range.Bytes);
            place = range.At + range.Bytes;
        }
        return (ranges, place);
    }

    /// <summary>Where the part ends that ends before a place; null when nothing is above it.</summary>
    public string? LimitAt(long place) =>
        RangeAt(place) is { } next ? KeyOf(next)
        : _highest is { } highest && OrderedKey.After(_type, highest) is { } after ? OrderedKey.Format(_type, after) : null;

    public string KeyOf(Range range) => OrderedKey.Format(_type, range.First);

    Range? RangeAt(long place)
    {
        lock (_gate)
        {
            if (place >= _scratch.Length)
                return null;
            Span<byte> head = stackalloc byte[HeadSize];
            _scratch.Read(place, head);
            return new Range(BinaryPrimitives.ReadUInt128LittleEndian(head), BinaryPrimitives.ReadInt32LittleEndian(head[16..]),
                Sha256.From(head[20..52]), place + HeadSize, BinaryPrimitives.ReadInt64LittleEndian(head[52..]));
        }
    }

    /// <summary>The rows of a range; null when the repair was given up meanwhile.</summary>
    public byte[]? Read(Range range)
    {
        lock (_gate)
        {
            if (_ended)
                return null;
            var rows = new byte[range.Bytes];
            _scratch.Read(range.At, rows);
            return rows;
        }
    }

    /// <summary>Tuples out of what <see cref="Read"/> gives.</summary>
    public static IEnumerable<ReadOnlyMemory<byte>> Tuples(byte[] rows)
    {
        for (var at = 0; at < rows.Length;)
        {
            var length = BinaryPrimitives.ReadInt32LittleEndian(rows.AsSpan(at));
            yield return rows.AsMemory(at + 4, length);
            at += 4 + length;
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _ended = true;
            _scratch.Dispose();
        }
    }
}
