using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The rows of one base chunk on their way into a typed segment. Deletes its temporary file when it is not finished.</summary>
sealed class BaseRows : IDisposable
{
    readonly IMedium _medium;
    readonly string _path;
    readonly RelationShape _shape;
    readonly BaseChunk _chunk;
    readonly string _temporary;
    readonly Stream _output;
    readonly BaseSegmentWriter _writer;
    readonly TupleWriter _tuple = new();
    bool _placed;

    /// <param name="chunk">What is known when the chunk is ordered; snapshot, barrier and count come with the answer's end.</param>
    public BaseRows(IMedium medium, string path, RelationShape shape, SegmentOrigin origin, BaseChunk chunk)
    {
        (_medium, _path, _shape, _chunk) = (medium, path, shape, chunk);
        _temporary = medium.NewTemporaryPath("base");
        _output = medium.CreateTemporary(_temporary, bufferSize: 1 << 16);
        _writer = new BaseSegmentWriter(_output, shape, origin);
    }

    public long Rows => _writer.Rows;

    /// <summary>True when the table, as it was read, has the shape that the rows were expected in.</summary>
    public bool Fits(CatalogTable table) => table.ToShape(_shape.Number, _shape.Version, _shape.Since).SameAs(_shape);

    /// <param name="lines">Whole lines of COPY's text format.</param>
    public void Add(ReadOnlySpan<byte> lines)
    {
        while (!lines.IsEmpty)
        {
            var end = lines.IndexOf((byte)'\n');
            if (end < 0)
                throw new FormatViolationException("a piece of COPY rows ends inside a line");
            _writer.AddRow(CopyTextRow.ToTuple(lines[..end], _shape.Columns.Count, _tuple));
            lines = lines[(end + 1)..];
        }
    }

    /// <summary>Takes the rows of the ranges that were equal from the past.</summary>
    /// <returns>False when the past was let go of meanwhile.</returns>
    public bool AddEqual(ComparedPart part, RangesRead read)
    {
        var copied = read.Copied.ToHashSet();
        for (var place = 0; place < part.Ranges.Count; place++)
        {
            if (copied.Contains(place))
                continue;
            if (part.Past.Read(part.Ranges[place]) is not { } rows)
                return false;
            foreach (var tuple in PastRows.Tuples(rows))
                _writer.AddRow(tuple.Span);
        }
        return true;
    }

    /// <returns>The chunk with what its reading told, and its durable segment; no segment when there were no rows.</returns>
    public async Task<(BaseChunk Chunk, SegmentEntry? Segment)> FinishAsync(BaseChunkRead read, CancellationToken stop)
    {
        var chunk = _chunk with
        {
            ToPage = read.Ranges is null ? _chunk.ToPage : read.Ranges.To is null ? null : _chunk.FromPage + 1,
            Compared = read.Ranges is not { } ranges ? null : _chunk.Compared! with { To = ranges.To, Differing = ranges.Copied.Count, RowsCopied = read.Rows },
            Snapshot = read.Snapshot,
            Rows = Rows,
            FileNode = read.Table.FileNode,
            Barrier = read.Barrier.Lsn,
        };
        if (Rows == 0)
        {
            Dispose();
            return (chunk, null);
        }
        var entry = _writer.Complete(_path, chunk);
        await _output.DisposeAsync();
        FailPoint.Hit(FailPoint.SegmentFsync);
        await _medium.PublishAsync(_temporary, _path, stop);
        _placed = true;
        Dispose();
        return (chunk, entry);
    }

    public void Dispose()
    {
        _writer.Dispose();
        _output.Dispose();
        if (!_placed)
            _medium.DeleteTemporary(_temporary);
    }
}
