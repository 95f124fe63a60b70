using System.Security.Cryptography;
using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>The source: WAL on a timeline, snapshots, one slot. Transactions become visible later than they commit, and in another order.</summary>
sealed class SimulatedServer(World world)
{
    static readonly byte[] _inner = [.. Enumerable.Repeat((byte)0x36, 64)];
    static readonly byte[] _outer = [.. Enumerable.Repeat((byte)0x5c, 64)];
    readonly List<SimulatedSession> _sessions = [];
    readonly List<Lsn> _confirmedBefore = [];
    int _gapsExplained;
    /// <summary>Empty: the next incarnation.</summary>
    Guid? _otherHistory;
    Lsn _noted;

    public static MessageKey Key { get; } = new(_inner, _outer);

    public List<Branch> Branches { get; } = [new Branch(1, [])];

    public Branch Branch => Branches[^1];

    public Lsn Written { get; private set; } = new(0x1000);

    public ulong NextXid { get; private set; } = 700;

    /// <summary>Begun, and not yet both committed and visible.</summary>
    public List<Transaction> Running { get; } = [];

    /// <summary>Value of the one sequence.</summary>
    public int Sequence { get; set; }

    public bool Up { get; set; } = true;

    public bool SlotExists { get; set; }

    public Lsn Confirmed { get; private set; }

    /// <summary>Null while the slot is being made: our set-up does not know it yet.</summary>
    public Guid? Incarnation { get; private set; }

    /// <summary>The slot was made because the source was set back.</summary>
    public bool OtherHistory => _otherHistory == Incarnation && Incarnation is not null;

    public IReadOnlyList<ulong> WaitFor { get; private set; } = [];

    /// <summary>How often something happened that is a gap of the whole database.</summary>
    public int GapsExplained => _gapsExplained;

    /// <summary>A failover took transactions back, and tables with them.</summary>
    public bool FailedOver => Branches.Count > 1;

    public SourceTime Time => SourceTime.From(world.Time.UtcNow);

    public Lsn Advance(int bytes) => Written = new Lsn(Written.Value + ((ulong)bytes + 7) / 8 * 8);

    /// <summary>A record of the running transactions, unless nothing was written since the last.</summary>
    public void NoteRunning()
    {
        if (Written != _noted)
            _noted = Advance(56);
    }

    public Transaction Begin(bool streamed = false)
    {
        var transaction = new Transaction(NextXid++, streamed);
        Running.Add(transaction);
        return transaction;
    }

    public ulong SubTransaction() => NextXid++;

    public void Write(Transaction transaction, Change change)
    {
        transaction.Changes.Add(change);
        world.Trace.Note(() => $"xid {transaction.Xid}{(transaction.Streamed ? "s" : "")} sub {change.Sub} at {change.At}: {change.Kind} {change.Table?.Name} row {change.Row}: {change.Old?.Text} -> {change.New?.Text}{(change.DocUnchanged ? " (unchanged)" : "")}");
        Branch.Records.Add(new WalRecord(RecordKind.Change, transaction, Written, change));
        Wake();
    }

    /// <summary>The commit record stands in the WAL; who reads the tables may not see it yet.</summary>
    public Lsn Commit(Transaction transaction)
    {
        transaction.CommitRecord = Written;
        transaction.End = Advance(40);
        transaction.Time = Time;
        Branch.Records.Add(new WalRecord(RecordKind.Commit, transaction, transaction.End, null));
        world.Trace.Add("server", "commit", (long)transaction.Xid, (long)transaction.End.Value);
        Wake();
        return transaction.End;
    }

    public void BecomeVisible(Transaction transaction)
    {
        transaction.Visible = true;
        Running.Remove(transaction);
        world.Trace.Note(() => $"xid {transaction.Xid} visible");
    }

    public void Abort(Transaction transaction)
    {
        foreach (var change in transaction.Changes)
            change.Void = true;
        Branch.Records.Add(new WalRecord(RecordKind.Abort, transaction, Advance(40), null));
        Running.Remove(transaction);
        Wake();
    }

    public void AbortSub(Transaction transaction)
    {
        foreach (var change in transaction.Changes.Where(change => change.Sub == transaction.Sub))
            change.Void = true;
        Branch.Records.Add(new WalRecord(RecordKind.SubAbort, transaction, Advance(24), null, transaction.Sub));
        transaction.Sub = 0;
        Wake();
    }

    /// <summary>A message of ours in a transaction of its own.</summary>
    public Lsn Emit(string json)
    {
        var transaction = Begin();
        Write(transaction, new Change(ChangeKind.Message, null, 0, null, null, false, Advance(32), 0, Sealed(transaction.Xid, json)));
        var end = Commit(transaction);
        BecomeVisible(transaction);
        return end;
    }

    public static string Sealed(ulong xid, string json)
    {
        var rest = $"0 {json}";
        var inner = SHA256.HashData([.. _inner, .. Encoding.UTF8.GetBytes($"{xid} {rest}")]);
        return $"{Convert.ToHexStringLower(SHA256.HashData([.. _outer, .. inner]))} {rest}";
    }

    public Snapshot Snapshot()
    {
        var running = Running.Select(transaction => transaction.Xid).Order().ToList();
        var xmin = running.Count > 0 ? running[0] : NextXid;
        return Core.Snapshot.Parse($"{xmin}:{NextXid}:{string.Join(',', running)}");
    }

    public CrmState Visible() => CrmState.Of(Branch.Committed.Where(transaction => transaction.Visible));

    public void Connect(SimulatedSession session)
    {
        if (!Up)
            throw new IOException("the server does not answer");
        if (Incarnation is null)
            throw new SlotLostException("crmbackup", "was made, but not recorded");
        if (!SlotExists)
            throw new SlotLostException("crmbackup", "does not exist any more");
        if (_sessions.Count > 0)
            throw new RefusedException("slot crmbackup is being read by process 4711", "Only one capture may read a slot.");
        _sessions.Add(session);
    }

    public void Disconnect(SimulatedSession session) => _sessions.Remove(session);

    public bool Serves(SimulatedSession session) => Up && _sessions.Contains(session);

    public void Confirm(Lsn lsn)
    {
        if (lsn <= Confirmed)
            return;
        _confirmedBefore.Add(Confirmed);
        Confirmed = lsn;
        world.Trace.Add("server", "confirmed", (long)lsn.Value, 0);
        world.Witness.Confirmed(new Position(Branch.Timeline, lsn));
    }

    public void MakeSlot()
    {
        SlotExists = true;
        Confirmed = Written;
        _confirmedBefore.Clear();
    }

    public void ForgetIncarnation() => Incarnation = null;

    public void HistoryIsAnother() => _otherHistory = Guid.Empty;

    public void RecordIncarnation()
    {
        WaitFor = [.. Running.Select(transaction => transaction.Xid)];
        Incarnation = world.NewGuid();
        if (_otherHistory == Guid.Empty)
            _otherHistory = Incarnation;
        Explain();
    }

    public void Explain() => _gapsExplained++;

    /// <summary>Connections break; committed transactions stay, open ones are gone.</summary>
    public void Restart()
    {
        CutAll();
        foreach (var transaction in Running.ToList())
            if (transaction.End.IsNone)
                Abort(transaction);
            else
                BecomeVisible(transaction);
    }

    public void CutAll()
    {
        foreach (var session in _sessions.ToList())
            session.Cut();
    }

    /// <summary>A standby takes over that lacks the last transactions.</summary>
    public void FailOver(int lost, bool slotSurvives)
    {
        CutAll();
        var commits = Branch.Records.Where(record => record.Kind == RecordKind.Commit).ToList();
        var switchPoint = commits.Count > lost ? commits[^(lost + 1)].End : new Lsn(0x1000);
        var history = Branch.Records.TakeWhile(record => record.End <= switchPoint).ToList();
        var ended = history.Where(record => record.Kind is RecordKind.Commit).Select(record => record.Transaction).ToHashSet();
        Running.Clear();
        foreach (var transaction in ended)
            transaction.Visible = true;
        Branches.Add(new Branch(Branch.Timeline + 1, history));
        NextXid = history.Select(record => record.Transaction.Xid).Concat(history.Select(record => (ulong)record.Sub))
            .Concat(history.Select(record => (ulong)(record.Change?.Sub ?? 0))).DefaultIfEmpty(700UL).Max() + 1;
        Written = switchPoint;
        Advance(64);
        SlotExists &= slotSurvives;
        while (Confirmed > switchPoint && _confirmedBefore.Count > 0)
        {
            Confirmed = _confirmedBefore[^1];
            _confirmedBefore.RemoveAt(_confirmedBefore.Count - 1);
        }
        // A standby's slot that was never behind the switch point was never synchronized.
        SlotExists &= Confirmed <= switchPoint;
        Explain();
    }

    /// <summary>Somebody else moved our slot.</summary>
    public void AdvanceSlot()
    {
        if (!SlotExists || Written <= Confirmed)
            return;
        CutAll();
        Confirmed = Written;
        _confirmedBefore.Clear();
        Explain();
    }

    void Wake()
    {
        foreach (var session in _sessions)
            session.Wake();
    }
}
