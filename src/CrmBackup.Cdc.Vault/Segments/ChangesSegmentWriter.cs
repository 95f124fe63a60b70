using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Writes events of one shape of one relation, in commit order, as a typed segment. Messages (relation 0) have a shape of
/// their own: <see cref="Messages"/>.</summary>
/// <param name="output">Written from the start; neither flushed to disk nor closed.</param>
public sealed class ChangesSegmentWriter(Stream output, RelationShape shape, SegmentOrigin origin) : IDisposable
{
    /// <summary>What a message event's tuple holds.</summary>
    public static readonly RelationShape Messages = new(
        0, 0, Lsn.None, 0, "crmbackup", "messages", ReplicaIdentity.Nothing,
        [new ColumnShape(1, "prefix", 25, -1, "text", IsKey: false), new ColumnShape(2, "content", 25, -1, "text", IsKey: false)]);

    readonly TableSegmentWriter _writer = new(output, SegmentKind.Changes, shape);

    public RelationShape Shape => shape;

    public long Rows => _writer.Tally.Rows;

    /// <summary>Weight of the events that wait for their row group.</summary>
    public long BufferedBytes => _writer.BufferedBytes;

    public long BytesWritten => _writer.BytesWritten;

    /// <summary>Copies the tuples.</summary>
    public void Add(in ChangeEvent change)
    {
        Invariant.Holds(change.Relation == shape.Number && change.Shape == shape.Version, "an event was written to another shape's segment");
        var carriesNew = change.Kind is EventKind.Insert or EventKind.Update or EventKind.Message;
        if (carriesNew == change.NewTuple.IsEmpty || change.OldKind == OldTupleKind.None != change.OldTuple.IsEmpty)
            throw new FormatViolationException($"a '{(char)change.Kind}' event of {shape.FullName} lacks a tuple, or has one too many");
        _writer.Tally.Add(change);
        _writer.AddEvent(change);
    }

    /// <summary>Gives the memory of waiting events back, at the price of a smaller row group.</summary>
    public void WriteRowGroup() => _writer.WriteRowGroup();

    /// <param name="path">Its name in the vault.</param>
    public SegmentEntry Complete(string path, SegmentLink? link = null, string? said = null)
    {
        var tally = _writer.Tally;
        return _writer.Complete(path, new SegmentDescription(
            origin, SegmentKind.Changes, shape.Number, shape.Version, BaseId: 0, Chunk: 0, Rows, tally.ContentHash(),
            tally.First, tally.Last, tally.FirstTime, tally.LastTime, tally.MaxXid, [shape], _writer.Columns,
            Link: link, Said: said));
    }

    public void Dispose() => _writer.Dispose();
}
