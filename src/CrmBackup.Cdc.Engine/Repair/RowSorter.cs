using System.Buffers.Binary;

namespace CrmBackup.Cdc.Engine;

/// <summary>Rows in the order of their keys, in bounded memory: sorted runs on disk, merged. Owns the file.
/// <code>
///  | key u128 | row length i32 | row |   little-endian
/// </code></summary>
sealed class RowSorter(string folder, long memoryBytes) : IDisposable
{
    const int HeadSize = 20, RowOverhead = 80, BufferMin = 4 << 10, BufferMax = 1 << 20;
    readonly List<(UInt128 Key, byte[] Row)> _rows = [];
    readonly List<(long From, long To)> _runs = [];
    FileStream? _file;
    long _bytes;

    public void Add(UInt128 key, ReadOnlySpan<byte> row)
    {
        _rows.Add((key, row.ToArray()));
        _bytes += row.Length + RowOverhead;
        if (_bytes > memoryBytes)
            WriteRun();
    }

    /// <summary>Once, after the last row.</summary>
    public IEnumerable<(UInt128 Key, byte[] Row)> Sorted()
    {
        if (_runs.Count == 0)
        {
            Sort();
            return _rows;
        }
        if (_rows.Count > 0)
            WriteRun();
        return Merged();
    }

    void Sort() => _rows.Sort((left, right) => left.Key.CompareTo(right.Key));

    void WriteRun()
    {
        Sort();
        _file ??= Scratch.NewFile(folder, "sort");
        var from = _file.Position;
        Span<byte> head = stackalloc byte[HeadSize];
        foreach (var (key, row) in _rows)
        {
            BinaryPrimitives.WriteUInt128LittleEndian(head, key);
            BinaryPrimitives.WriteInt32LittleEndian(head[16..], row.Length);
            _file.Write(head);
            _file.Write(row);
        }
        _runs.Add((from, _file.Position));
        _rows.Clear();
        _bytes = 0;
    }

    IEnumerable<(UInt128 Key, byte[] Row)> Merged()
    {
        _file!.Flush();
        var buffer = (int)Math.Clamp(memoryBytes / 2 / _runs.Count, BufferMin, BufferMax);
        var turns = new PriorityQueue<IEnumerator<(UInt128 Key, byte[] Row)>, UInt128>();
        foreach (var (from, to) in _runs)
        {
            var run = Run(from, to, buffer).GetEnumerator();
            if (run.MoveNext())
                turns.Enqueue(run, run.Current.Key);
        }
        while (turns.TryDequeue(out var run, out _))
        {
            yield return run.Current;
            if (run.MoveNext())
                turns.Enqueue(run, run.Current.Key);
            else
                run.Dispose();
        }
    }

    IEnumerable<(UInt128 Key, byte[] Row)> Run(long from, long to, int bufferSize)
    {
        var buffer = new byte[bufferSize];
        var (at, filled) = (0, 0);
        while (from < to || at < filled)
        {
            if (filled - at < HeadSize || filled - at < HeadSize + Length())
            {
                if (filled - at >= HeadSize && HeadSize + Length() > buffer.Length)
                    Array.Resize(ref buffer, HeadSize + Length());
                buffer.AsSpan(at, filled - at).CopyTo(buffer);
                (at, filled) = (0, filled - at);
                var wanted = (int)Math.Min(buffer.Length - filled, to - from);
                var read = RandomAccess.Read(_file!.SafeFileHandle, buffer.AsSpan(filled, wanted), from);
                if (read == 0)
                    throw new EndOfStreamException("a run of sorted rows ends inside a row");
                (filled, from) = (filled + read, from + read);
                continue;
            }
            var row = buffer.AsSpan(at + HeadSize, Length()).ToArray();
            yield return (BinaryPrimitives.ReadUInt128LittleEndian(buffer.AsSpan(at)), row);
            at += HeadSize + row.Length;
        }

        int Length() => BinaryPrimitives.ReadInt32LittleEndian(buffer.AsSpan(at + 16));
    }

    public void Dispose()
    {
        _file?.Dispose();
        _rows.Clear();
    }
}
