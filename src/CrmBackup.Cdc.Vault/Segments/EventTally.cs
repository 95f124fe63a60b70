using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Vault;

/// <summary>Gathers, event by event, what a segment's entry says about its content.</summary>
sealed class EventTally : IDisposable
{
    readonly ContentHasher _content = new();

    public long Rows { get; private set; }
    public Lsn First { get; private set; }
    public Lsn Last { get; private set; }
    public SourceTime? FirstTime { get; private set; }
    public SourceTime? LastTime { get; private set; }
    public ulong MaxXid { get; private set; }

    public void Add(in ChangeEvent change)
    {
        _content.Add(change);
        if (Rows++ == 0)
            First = change.CommitLsn;
        Last = change.CommitLsn;
        if (FirstTime is null || change.CommitTime < FirstTime)
            FirstTime = change.CommitTime;
        if (LastTime is null || change.CommitTime > LastTime)
            LastTime = change.CommitTime;
        MaxXid = Math.Max(MaxXid, change.Xid);
    }

    public void AddRow(ReadOnlySpan<byte> tuple)
    {
        _content.AddRow(tuple);
        Rows++;
    }

    public Sha256 ContentHash() => _content.Finish();

    public void Dispose() => _content.Dispose();
}
