using System.Buffers.Binary;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Finds the keys by which two sets of rows differ, in bounded memory: keys and row hashes of both sides go to partitions on disk,
/// which are compared one by one. Owns the files.</summary>
sealed class DifferenceFinder : IDisposable
{
    const int Partitions = 64;
    readonly FileStream[] _files;
    readonly bool _keyed;
    readonly int[] _key;
    readonly KeyBuffer _buffer = new();

    public DifferenceFinder(RelationShape shape, string folder)
    {
        Directory.CreateDirectory(folder);
        _keyed = shape.HasKey;
        _key = [.. Enumerable.Range(0, shape.Columns.Count).Where(index => shape.Columns[index].IsKey)];
        _files = [.. Enumerable.Range(0, Partitions).Select(_ => new FileStream(Path.Combine(folder, $"compare-{Guid.NewGuid():n}.spill"),
            FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None, 32 << 10, FileOptions.DeleteOnClose))];
    }

    /// <summary>Forgets the source's rows, which are added first: they are read once more.</summary>
    public void Clear()
    {
        foreach (var file in _files)
            file.SetLength(0);
    }

    public void AddSource(ReadOnlySpan<byte> tuple, ReadOnlySpan<byte> digest) => Add(0, tuple, digest);

    public void AddVault(ReadOnlySpan<byte> tuple, ReadOnlySpan<byte> digest) => Add(1, tuple, digest);

    /// <summary>The first differing keys in the order of their text, at most <paramref name="limit"/>.</summary>
    public IReadOnlyList<KeyDifference> Find(int limit)
    {
        var found = new List<KeyDifference>();
        foreach (var file in _files)
        {
            found.AddRange(Compare(file));
            if (found.Count > limit * 100)
                found = [.. found.OrderBy(difference => difference.Key, StringComparer.Ordinal).Take(limit)];
        }
        return [.. found.OrderBy(difference => difference.Key.Length).ThenBy(difference => difference.Key, StringComparer.Ordinal).Take(limit)];
    }

    //  | side u8 | key length i32 | key | row hash 32 bytes |
    void Add(byte side, ReadOnlySpan<byte> tuple, ReadOnlySpan<byte> digest)
    {
        var key = _keyed ? _buffer.Of(tuple, _key) : tuple;
        var file = _files[(int)(BytesComparer.Hash(key) % Partitions)];
        Span<byte> head = stackalloc byte[5];
        head[0] = side;
        BinaryPrimitives.WriteInt32LittleEndian(head[1..], key.Length);
        file.Write(head);
        file.Write(key);
        file.Write(digest);
    }

    IEnumerable<KeyDifference> Compare(FileStream file)
    {
        // Per key: the sum of the source's hashes and of the vault's, so that rows which are there twice count twice.
        var keys = new Dictionary<byte[], (TableHash Source, TableHash Vault)>(BytesComparer.Instance);
        file.Position = 0;
        var head = new byte[5];
        var digest = new byte[32];
        while (file.Position < file.Length)
        {
            file.ReadExactly(head);
            var key = new byte[BinaryPrimitives.ReadInt32LittleEndian(head.AsSpan(1))];
            file.ReadExactly(key);
            file.ReadExactly(digest);
            if (!keys.TryGetValue(key, out var sides))
                keys.Add(key, sides = (new TableHash(), new TableHash()));
            (head[0] == 0 ? sides.Source : sides.Vault).Add(digest);
        }
        foreach (var (key, (source, vault)) in keys)
            if (!source.Matches(vault))
                yield return new KeyDifference(_keyed ? KeyBuffer.Describe(key) : DescribeRow(key),
                    vault.Rows < source.Rows ? "missing in the vault" : vault.Rows > source.Rows ? "missing in the source" : "different");
    }

    static string DescribeRow(byte[] tuple)
    {
        var reader = new TupleReader(tuple);
        var texts = new List<string>();
        for (var i = 0; i < reader.Count; i++)
            texts.Add(reader.Next(out var text) == ColumnState.Text ? System.Text.Encoding.UTF8.GetString(text) : "NULL");
        var row = $"({string.Join(", ", texts)})";
        return row.Length > 200 ? row[..200] + "…" : row;
    }

    public void Dispose()
    {
        foreach (var file in _files)
            file.Dispose();
    }
}
