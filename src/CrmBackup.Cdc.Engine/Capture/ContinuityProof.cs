using System.Buffers.Binary;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;

namespace CrmBackup.Cdc.Engine;

/// <summary>Compares what the stream begins with to what the vault ends with (rule 1): the anchor as it was, and nothing of ours between it
/// and the vault's end. Takes the frames that prove it away from the stream; what belongs to later transactions it leaves.</summary>
/// <param name="end">The vault's position, at or after the anchor's end.</param>
/// <param name="feed">Stages what is streamed before its commit: that may belong to a later transaction.</param>
sealed class ContinuityProof(Anchor anchor, Lsn end, FrameFeed feed)
{
    bool _found;
    bool _inside;
    bool _streaming;

    /// <summary>Tables and types that the server told with what was taken away: it tells each once in a session.</summary>
    public List<byte[]> Told { get; } = [];

    /// <returns>True when the frame belongs to what the vault holds; false when it is the first that comes after it: then all is proven.</returns>
    /// <param name="at">Start of the WAL record that the frame tells of.</param>
    /// <exception cref="OtherHistoryException">The source has another history.</exception>
    public bool Takes(ReadOnlySpan<byte> frame, Lsn at)
    {
        if (_streaming || frame[0] is PgOutputFrame.StreamStart or PgOutputFrame.StreamAbort)
        {
            _streaming = frame[0] is not (PgOutputFrame.StreamStop or PgOutputFrame.StreamAbort);
            feed.Take(frame, at);
            return true;
        }
        switch (frame[0])
        {
            //  'B' | final LSN u64 | commit time i64 | xid u32
            case PgOutputFrame.Begin:
                var begin = new PgOutputReader(frame);
                begin.Byte();
                var (record, time, xid) = (begin.Lsn(), SourceTime.FromPostgres(begin.Int64()), begin.UInt32());
                _inside = record < end;
                if (!_inside)
                    return Proven(record);
                Compare(record, time, xid);
                return true;
            //  'c' | xid u32 | flags u8 | commit LSN u64 …
            case PgOutputFrame.StreamCommit:
                var streamed = BinaryPrimitives.ReadUInt32BigEndian(frame[1..]);
                var commit = CommitFrame.Parse([PgOutputFrame.Commit, .. frame[5..]]);
                if (commit.CommitRecord >= end)
                    return Proven(commit.CommitRecord);
                using (var transaction = feed.Take(frame, at)!.Transaction)
                    // An empty one, all of it rolled back, is sent at times and at times not.
                    if (commit.CommitRecord == anchor.CommitRecord || transaction.Frames().Any(HoldsSomething))
                        Compare(commit.CommitRecord, commit.Time, streamed);
                return true;
            case PgOutputFrame.Relation or PgOutputFrame.Type:
                Told.Add(frame.ToArray());
                return true;
            default:
                // A row or message of what is held, or its end.
                return _inside;
        }
    }

    static bool HoldsSomething((ReadOnlyMemory<byte> Frame, Lsn At) staged) =>
        staged.Frame.Span[0] is not (PgOutputFrame.Relation or PgOutputFrame.Type or PgOutputFrame.Origin);

    void Compare(Lsn record, SourceTime time, uint xid)
    {
        if (_found)
            throw new OtherHistoryException($"the source was set back: it has a transaction {xid} at {record}, where the vault knows of none");
        if ((record, time, xid) != (anchor.CommitRecord, anchor.Time, (uint)anchor.Xid))
            throw new OtherHistoryException($"the source was set back: it has transaction {xid} at {record}, committed {time}, where the vault holds "
                + $"transaction {anchor.Xid} at {anchor.CommitRecord}, committed {anchor.Time}");
        _found = true;
    }

    bool Proven(Lsn next) => _found ? false
        : throw new OtherHistoryException($"the source was set back: it has nothing before {next}, where the vault holds transaction {anchor.Xid} at {anchor.CommitRecord}");
}
