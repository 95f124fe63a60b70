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
    ServerCopy? _copy;

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

    /// <summary>Of the process that serves: it changes with every start, and nobody exchanges files under one that runs.</summary>
    public int Starts { get; private set; } = 1;

    /// <summary>The slot was made because the source was set back.</summary>
    public bool OtherHistory => _otherHistory == Incarnation && Incarnation is not null;

    public IReadOnlyList<ulong> WaitFor { get; private set; } = [];

    /// <summary>How often something happened that is a gap of the whole database.</summary>
    public int GapsExplained => _gapsExplained;

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

    public void WaitAnew() => WaitFor = [.. Running.Select(transaction => transaction.Xid)];

    public void RecordIncarnation()
    {
        WaitAnew();
        Incarnation = world.NewGuid();
        if (_otherHistory == Guid.Empty)
            _otherHistory = Incarnation;
    }

    /// <summary>Somebody drops our slot.</summary>
    public void LoseSlot()
    {
        SlotExists = false;
        CutAll();
        Explain();
    }

    void Explain() => _gapsExplained++;

    /// <summary>Connections break; committed transactions stay, open ones are gone.</summary>
    public void Restart()
    {
        CutAll();
        Starts++;
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
        Starts++;
        var commits = Branch.Records.Where(record => record.Kind == RecordKind.Commit).ToList();
        var switchPoint = commits.Count > lost ? commits[^(lost + 1)].End : new Lsn(0x1000);
        var history = Branch.Records.TakeWhile(record => record.End <= switchPoint).ToList();
        var ended = history.Where(record => record.Kind is RecordKind.Commit).Select(record => record.Transaction).ToHashSet();
        Running.Clear();
        foreach (var transaction in ended)
            transaction.Visible = true;
        Branch.Left = Written;
        Branches.Add(new Branch(Branch.Timeline + 1, history) { From = switchPoint });
        NextXid = NextAfter(history);
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

    static ulong NextAfter(List<WalRecord> history) =>
        history.Select(record => record.Transaction.Xid).Concat(history.Select(record => (ulong)record.Sub))
            .Concat(history.Select(record => (ulong)(record.Change?.Sub ?? 0))).DefaultIfEmpty(700UL).Max() + 1;

    /// <summary>What the history file says of an older timeline's end.</summary>
    public Lsn? EndOf(uint timeline) => timeline >= Branch.Timeline ? null
        : Branches.Where(branch => branch.Timeline > timeline && branch.Timeline <= Branch.Timeline).Min(branch => branch.From);

    /// <summary>Somebody copies the server's files.</summary>
    public void TakeCopy()
    {
        _copy = new ServerCopy(Branch, Branch.Records.Count, Written, SlotExists, Confirmed, Incarnation, _otherHistory, WaitFor);
        world.Trace.Add("server", "copied", Branch.Timeline, (long)Written.Value);
    }

    /// <summary>And puts the copy in their place: the same timeline, LSNs and transaction ids once more, for another history.</summary>
    /// <param name="withSlot">Not every way to copy takes slots along.</param>
    public void SetBack(bool withSlot)
    {
        if (_copy is not { } copy || copy.Branch != Branch)
            return;
        CutAll();
        Starts++;
        Branch.Left = Written;
        var history = copy.Branch.Records.Take(copy.Records).ToList();
        Running.Clear();
        foreach (var record in history.Where(record => record.Kind == RecordKind.Commit))
            record.Transaction.Visible = true;
        Branches.Add(new Branch(Branch.Timeline, history) { From = Branch.From });
        NextXid = NextAfter(history);
        Written = copy.Written;
        Advance(64);
        (SlotExists, Confirmed, Incarnation) = (copy.SlotExists && withSlot, copy.Confirmed, copy.Incarnation);
        (_otherHistory, WaitFor, _copy) = (copy.OtherHistory, copy.WaitFor, null);
        _confirmedBefore.Clear();
        world.Trace.Add("server", "set back", withSlot ? 1 : 0, (long)Written.Value);
        Explain();
    }

    /// <summary>What an operator is told to do: the WAL goes on where no other history has been.</summary>
    public void PassOtherHistories()
    {
        var furthest = Branches.Max(branch => branch.Left);
        if (furthest >= Written)
            Written = furthest;
        if (!furthest.IsNone)
            Advance(64);
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

/// <summary>What lies in the server's files at one moment.</summary>
/// <param name="Records">Of the branch's WAL.</param>
sealed record ServerCopy(
    Branch Branch, int Records, Lsn Written, bool SlotExists, Lsn Confirmed, Guid? Incarnation, Guid? OtherHistory, IReadOnlyList<ulong> WaitFor);
