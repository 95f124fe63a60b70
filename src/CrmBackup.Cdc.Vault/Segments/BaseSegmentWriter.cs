using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Writes the rows of one base chunk as a typed segment.</summary>
/// <param name="output">Written from the start; neither flushed to disk nor closed.</param>
public sealed class BaseSegmentWriter(Stream output, RelationShape shape, SegmentOrigin origin) : IDisposable
{
    readonly TableSegmentWriter _writer = new(output, SegmentKind.Base, shape);

    public long Rows => _writer.Tally.Rows;

    /// <summary>Bytes of the file so far: a chunk may be cut into several segments.</summary>
    public long BytesWritten => _writer.BytesWritten;

    /// <param name="tuple">In pgoutput's layout, columns as in the shape; copied.</param>
    public void AddRow(ReadOnlySpan<byte> tuple)
    {
        _writer.Tally.AddRow(tuple);
        _writer.AddRow(tuple);
    }

    /// <summary>Ends the segment.</summary>
    /// <param name="path">Its name in the vault.</param>
    /// <param name="chunk">With the snapshot that the rows were read under.</param>
    public SegmentEntry Complete(string path, BaseChunk chunk)
    {
        Invariant.Holds(chunk.Relation == shape.Number && chunk.Shape == shape.Version, "a base chunk was completed with another shape's facts");
        return _writer.Complete(path, new SegmentDescription(
            origin, SegmentKind.Base, shape.Number, shape.Version, chunk.BaseId, chunk.Chunk, Rows, _writer.Tally.ContentHash(),
            Lsn.None, Lsn.None, FirstTime: null, LastTime: null, MaxXid: 0, [shape], _writer.Columns, chunk));
    }

    public void Dispose() => _writer.Dispose();
}
