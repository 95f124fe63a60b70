using System.Buffers.Binary;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

/// <summary>Turns pgoutput frames into entries of the stream: knows where transactions begin and end, whose messages are ours, and stages
/// what the server streams before its commit. Everything else passes as it came.</summary>
/// <param name="recentXid">A 64-bit id of the source, kept recent by <see cref="RecentXid"/>.</param>
/// <param name="start">Of the stream: DDL may have been committed anywhere before it.</param>
sealed class FrameFeed(BlockLane lane, MessageKey key, string staging, ulong recentXid, Lsn start, ILogger logger) : IDisposable
{
    readonly Dictionary<uint, StagedTransaction> _staged = [];
    /// <summary>Between Stream Start and Stream Stop.</summary>
    StagedTransaction? _streaming;
    ulong _xid;
    long _foreign;
    /// <summary>DDL is committed here, last: of rows written before it and committed after it the archive must know when they were written.</summary>
    Lsn _ddlAt = start;
    bool _ddl;
    Lsn _written;

    public ulong RecentXid { get; set; } = recentXid;

    /// <summary>Between Begin and Commit: nothing else may enter the lane.</summary>
    public bool InTransaction { get; private set; }

    /// <summary>Frames taken so far.</summary>
    public long Taken { get; private set; }

    public int Staged => _staged.Count;

    /// <summary>The last transaction was so large that it was staged.</summary>
    public bool LastWasStaged { get; private set; }

    /// <summary>Tables and types that the server told before the first transaction that was taken: told in it.</summary>
    public IReadOnlyList<byte[]> ToldBefore { private get; set; } = [];

    /// <summary>Marks and barriers so far: moments that somebody means to come back to.</summary>
    public long Moments { get; private set; }

    /// <returns>A staged transaction whose commit came: it must be written by <see cref="WriteAsync"/> before the next frame.</returns>
    /// <param name="at">Start of the WAL record that the frame tells of.</param>
    public Commitment? Take(ReadOnlySpan<byte> frame, Lsn at)
    {
        if (frame.IsEmpty)
            throw new FormatViolationException("the server sent an empty frame");
        Taken++;
        if (_streaming is not null)
        {
            Stage(_streaming, frame, at);
            return null;
        }
        switch (frame[0])
        {
            case PgOutputFrame.Insert or PgOutputFrame.Update or PgOutputFrame.Delete:
                Inside(frame);
                Row(frame, at);
                break;
            case PgOutputFrame.Truncate or PgOutputFrame.Relation or PgOutputFrame.Type or PgOutputFrame.Origin:
                Inside(frame);
                lane.Add(frame);
                break;
            case PgOutputFrame.Begin: Begin(frame); break;
            case PgOutputFrame.Commit: Commit(frame); break;
            case PgOutputFrame.Message: Message(frame); break;
            case PgOutputFrame.StreamStart: StreamStart(frame); break;
            case PgOutputFrame.StreamAbort: StreamAbort(frame); break;
            case PgOutputFrame.StreamCommit: return StreamCommit(frame);
            default: throw new FormatViolationException($"the server sent the unknown frame '{(char)frame[0]}'");
        }
        return null;
    }

    void Inside(ReadOnlySpan<byte> frame)
    {
        if (!InTransaction)
            throw new FormatViolationException($"the server sent the frame '{(char)frame[0]}' outside a transaction");
    }

    //  'B' | final LSN u64 | commit time i64 | xid u32
    void Begin(ReadOnlySpan<byte> frame)
    {
        var reader = Outside(frame);
        var commitRecord = reader.Lsn();
        var time = SourceTime.FromPostgres(reader.Int64());
        Begin(new BeginEntry(TransactionIds.Resolve(reader.UInt32(), RecentXid), commitRecord, Lsn.None, time));
        foreach (var told in ToldBefore)
            lane.Add(told);
        ToldBefore = [];
    }

    void Begin(BeginEntry begin)
    {
        begin.Write(lane.Reserve(BeginEntry.Size));
        _xid = begin.Xid;
        InTransaction = true;
        (_ddl, _written) = (false, Lsn.None);
    }

    void Row(ReadOnlySpan<byte> frame, Lsn at)
    {
        var written = at < _ddlAt ? at : Lsn.None;
        if (written != _written)
            new WrittenEntry(_written = written).Write(lane.Reserve(WrittenEntry.Size));
        lane.Add(frame);
    }

    void Commit(ReadOnlySpan<byte> frame)
    {
        Inside(frame);
        var (record, end) = (CommitFrame.Parse(frame).CommitRecord, CommitFrame.Parse(frame).End);
        if (end < lane.Completed)
            throw new FormatViolationException($"a transaction ends at {end}, before the one that came before it ({lane.Completed})");
        if (_ddl && record > _ddlAt)
            _ddlAt = record;
        lane.Add(frame);
        lane.Completed = end;
        InTransaction = LastWasStaged = false;
    }

    void Message(ReadOnlySpan<byte> frame)
    {
        var message = MessageFrame.Parse(frame);
        if (message.Prefix != MessageKey.Prefix)
            return;
        var ours = message.Transactional && InTransaction && key.Wrote(_xid, message.Content);
        if (!ours && _foreign++ == 0)
            logger.ForeignMessage(message.Lsn);
        if (!InTransaction)
            return;
        if (ours && (message.Content.IndexOf("\"is\": \"mark\""u8) >= 0 || message.Content.IndexOf("\"is\": \"barrier\""u8) >= 0))
            Moments++;
        _ddl |= ours && message.Content.IndexOf("\"is\": \"ddl\""u8) >= 0;
        var entry = lane.Reserve(1 + frame.Length);
        entry[0] = ours ? EntryType.OwnMessage : EntryType.ForeignMessage;
        frame.CopyTo(entry[1..]);
    }

    PgOutputReader Outside(ReadOnlySpan<byte> frame)
    {
        if (InTransaction)
            throw new FormatViolationException($"the server sent the frame '{(char)frame[0]}' inside a transaction");
        var reader = new PgOutputReader(frame);
        reader.Byte();
        return reader;
    }

    //  'S' | xid u32 | first segment u8
    void StreamStart(ReadOnlySpan<byte> frame)
    {
        var xid = Outside(frame).UInt32();
        if (!_staged.TryGetValue(xid, out _streaming))
            _staged.Add(xid, _streaming = new StagedTransaction(staging));
    }

    /// <summary>Inside a stream every frame but Origin names its (sub)transaction after its type.</summary>
    void Stage(StagedTransaction transaction, ReadOnlySpan<byte> frame, Lsn at)
    {
        switch (frame[0])
        {
            case PgOutputFrame.StreamStop:
                _streaming = null;
                break;
            case PgOutputFrame.Origin:
                transaction.Append(0, at, frame[0], frame[1..]);
                break;
            case PgOutputFrame.Insert or PgOutputFrame.Update or PgOutputFrame.Delete or PgOutputFrame.Truncate
                or PgOutputFrame.Relation or PgOutputFrame.Type or PgOutputFrame.Message when frame.Length >= 5:
                transaction.Append(BinaryPrimitives.ReadUInt32BigEndian(frame[1..]), at, frame[0], frame[5..]);
                break;
            default:
                throw new FormatViolationException($"the server sent the frame '{(char)frame[0]}' inside a stream");
        }
    }

    //  'A' | xid u32 | subtransaction's xid u32
    void StreamAbort(ReadOnlySpan<byte> frame)
    {
        var reader = Outside(frame);
        var (xid, sub) = (reader.UInt32(), reader.UInt32());
        if (!_staged.TryGetValue(xid, out var transaction))
            throw new FormatViolationException($"the server aborted transaction {xid}, which it did not stream");
        if (sub != xid)
            transaction.AbortSub(sub);
        else if (_staged.Remove(xid))
            transaction.Dispose();
    }

    //  'c' | xid u32 | flags u8 | commit LSN u64 | end LSN u64 | commit time i64
    Commitment StreamCommit(ReadOnlySpan<byte> frame)
    {
        var xid = Outside(frame).UInt32();
        var resolved = TransactionIds.Resolve(xid, RecentXid);
        if (!_staged.Remove(xid, out var transaction))
            throw new FormatViolationException($"the server committed transaction {xid}, which it did not stream");
        // From the flags on it is a Commit frame.
        byte[] commit = [PgOutputFrame.Commit, .. frame[5..]];
        return new Commitment(resolved, transaction, commit);
    }

    /// <summary>A staged transaction that committed. Owns it.</summary>
    public sealed record Commitment(ulong Xid, StagedTransaction Transaction, byte[] CommitFrame);

    /// <summary>Writes the whole transaction, block after block.</summary>
    public async Task WriteAsync(Commitment committed, Func<Task> publish)
    {
        using var transaction = committed.Transaction;
        var commit = CommitFrame.Parse(committed.CommitFrame);
        Begin(new BeginEntry(committed.Xid, commit.CommitRecord, commit.End, commit.Time));
        foreach (var (frame, at) in transaction.Frames())
        {
            switch (frame.Span[0])
            {
                case PgOutputFrame.Message: Message(frame.Span); break;
                case PgOutputFrame.Insert or PgOutputFrame.Update or PgOutputFrame.Delete: Row(frame.Span, at); break;
                default: lane.Add(frame.Span); break;
            }
            if (lane.IsFull)
                await publish();
        }
        Commit(committed.CommitFrame);
        LastWasStaged = true;
    }

    public void Dispose()
    {
        foreach (var transaction in _staged.Values)
            transaction.Dispose();
        _staged.Clear();
    }
}
