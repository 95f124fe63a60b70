using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Working rows become tuples of the target, hashed and given out in batches.</summary>
sealed class FoldOutput(FoldInput input, Func<RowBatch, CancellationToken, ValueTask> write) : IDisposable
{
    const int BatchBytes = 128 << 10;
    readonly RowHasher _hasher = new();
    readonly RowBatch _batch = new();
    readonly TupleWriter _writer = new();
    readonly int _columns = input.Target.Columns.Count;

    public TableHash Hash { get; } = new();

    public async Task WriteAsync(IEnumerable<byte[]> rows, CancellationToken stop)
    {
        foreach (var row in rows)
        {
            var tuple = Cut(row);
            if (input.Keep is { } keep && !keep(tuple))
                continue;
            Add(tuple.Span);
            if (_batch.Bytes >= BatchBytes)
                await FlushAsync(stop);
        }
        await FlushAsync(stop);
    }

    void Add(ReadOnlySpan<byte> tuple)
    {
        if (Rows.HasUnchanged(tuple))
            throw new FormatViolationException($"a row of {input.Target.FullName} lacks a value that no event and no base holds");
        Span<byte> digest = stackalloc byte[32];
        _hasher.HashRow(tuple, digest);
        Hash.Add(digest);
        _batch.Add(tuple);
    }

    /// <summary>The target's columns come first in a working row.</summary>
    ReadOnlyMemory<byte> Cut(byte[] row)
    {
        var reader = new TupleReader(row);
        if (reader.Count == _columns)
            return row;
        _writer.Begin();
        for (var i = 0; i < _columns; i++)
            _writer.Column(reader.Next(out var text), text);
        return _writer.End().ToArray();
    }

    async ValueTask FlushAsync(CancellationToken stop)
    {
        if (_batch.Count > 0)
            await write(_batch, stop);
        _batch.Clear();
    }

    public void Dispose() => _hasher.Dispose();
}
