using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>What the walsender makes of the WAL: transactions in commit order, large ones in pieces before their commit.</summary>
sealed class Decoding(World world)
{
    const int StreamedPiece = 3;

    public readonly record struct Sent(byte[] Bytes, Lsn Lsn, Lsn Row);

    readonly Queue<Sent> _frames = new();
    readonly HashSet<uint> _told = [];
    readonly Dictionary<Transaction, int> _streamed = [];
    Branch _branch = null!;
    Lsn _from, _highestRow;
    int _at;

    public void Begin(Branch branch, Lsn from) => (_branch, _from) = (branch, from);

    public Sent? Next()
    {
        while (_frames.Count == 0 && _at < _branch.Records.Count)
            Decode(_branch.Records[_at++]);
        return _frames.Count > 0 ? _frames.Dequeue() : null;
    }

    /// <summary>The mutation's mistake: rows of transactions that ran side by side do not come in the order of their LSNs.</summary>
    public bool SeenByRowLsn(Sent frame)
    {
        if (frame.Row.IsNone)
            return false;
        var seen = frame.Row <= _highestRow;
        _highestRow = frame.Row > _highestRow ? frame.Row : _highestRow;
        return seen;
    }

    void Decode(WalRecord record)
    {
        var transaction = record.Transaction;
        switch (record.Kind)
        {
            // After a restart the server streams nothing early of what it decodes for the second time.
            case RecordKind.Change when transaction.Streamed && record.End > _from:
                if (transaction.Changes.IndexOf(record.Change!) + 1 is var upTo && upTo % StreamedPiece == 0)
                    Piece(transaction, upTo, record.End);
                break;
            case RecordKind.SubAbort when _streamed.TryGetValue(transaction, out var sent)
                && transaction.Changes.Take(sent).Any(change => change.Sub == record.Sub):
                Send(PgFrame.StreamAbort(transaction, record.Sub), record.End);
                break;
            case RecordKind.Abort when _streamed.Remove(transaction):
                Send(PgFrame.StreamAbort(transaction, 0), record.End);
                break;
            case RecordKind.Commit when _streamed.ContainsKey(transaction):
                Piece(transaction, transaction.Changes.Count, transaction.CommitRecord);
                Send(PgFrame.StreamCommit(transaction), transaction.End);
                _streamed.Remove(transaction);
                break;
            case RecordKind.Commit when transaction.CommitRecord >= _from:
                Whole(transaction);
                break;
        }
    }

    void Whole(Transaction transaction)
    {
        // PostgreSQL 15 leaves empty transactions out.
        if (transaction.Changes.All(change => change.Void))
            return;
        Send(PgFrame.Begin(transaction), transaction.CommitRecord);
        foreach (var change in transaction.Changes.Where(change => !change.Void))
        {
            Relation(change, 0);
            Send(PgFrame.Of(change, 0), change.At, change.At);
        }
        Send(PgFrame.Commit(transaction), transaction.End);
    }

    void Piece(Transaction transaction, int upTo, Lsn at)
    {
        var sent = _streamed.GetValueOrDefault(transaction);
        // What a subtransaction did that was rolled back before is not sent any more.
        var piece = transaction.Changes.GetRange(sent, upTo - sent).Where(change => !change.Void || !RolledBack(transaction, change)).ToList();
        if (piece.Count == 0 && sent > 0)
            return;
        Send(PgFrame.StreamStart(transaction, sent == 0), at);
        foreach (var change in piece)
        {
            var xid = change.Sub == 0 ? (uint)transaction.Xid : change.Sub;
            if (change.Table is { } table && change.Kind != ChangeKind.Message)
                Send(PgFrame.Relation(table, xid), change.At);
            Send(PgFrame.Of(change, xid), change.At);
        }
        Send(PgFrame.StreamStop(), at);
        _streamed[transaction] = upTo;
    }

    bool RolledBack(Transaction transaction, Change change) => change.Sub != 0
        && _branch.Records.Take(_at).Any(record => record.Kind == RecordKind.SubAbort && record.Transaction == transaction && record.Sub == change.Sub);

    void Relation(Change change, uint xid)
    {
        if (change is { Table: { } table, Kind: not ChangeKind.Message } && _told.Add(table.Oid))
            Send(PgFrame.Relation(table, xid), change.At);
    }

    void Send(byte[] frame, Lsn lsn, Lsn row = default)
    {
        world.Trace.Add("server", "frame", frame[0], (long)lsn.Value);
        _frames.Enqueue(new Sent(frame, lsn, row));
    }
}
