using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests;

/// <summary>Builds the folded state of a vault by hand: relations, bases, gaps and transactions at small LSNs of timeline 1.</summary>
sealed class PlanVault
{
    readonly Dictionary<string, List<TransactionStamp>> _transactions = [];
    readonly List<TransactionStamp> _flush = [];
    CommitContent _content = new();

    public PlanVault(VaultState? state = null) => State = state ?? VaultState.Empty;

    public VaultState State { get; private set; }

    public static Position At(ulong lsn, uint timeline = 1) => new(timeline, new Lsn(lsn));

    public static SourceTime Clock(int minute) => SourceTime.From(new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero).AddMinutes(minute));

    public static RelationShape Shape(int number, ulong since, int version = 1, bool dropped = false, params ColumnShape[] columns) =>
        new(number, version, new Lsn(since), (uint)(1000 + number), "public", $"t{number}", ReplicaIdentity.Default,
            columns.Length > 0 ? columns : [new ColumnShape(1, "id", 23, -1, "integer", true)], dropped);

    public PlanVault Commit(CommitContent content)
    {
        State = State.Apply(State.Head + 1, Sha256.Zero, 1, DateTimeOffset.UnixEpoch, content);
        return this;
    }

    public PlanVault Relation(params RelationShape[] shapes) => Commit(_content with { Relations = shapes });

    public PlanVault Base(int relation, ulong from, uint timeline = 1, int id = 1, string snapshot = "10:10:") => Commit(new CommitContent
    {
        BaseChunks = [new BaseChunk(relation, id, 0, snapshot, 1, 0, null, false, 0)],
        Bases = [new BaseComplete(relation, id, At(from, timeline))],
    });

    public PlanVault Schema(ulong from, uint timeline = 1) =>
        Commit(new CommitContent { Schemas = [new SchemaVersion(Sha256.Zero, At(from, timeline), null)] });

    public PlanVault Gap(GapScope scope, int relation, ulong after, uint timeline = 1) => Commit(new CommitContent
    {
        Gaps = [new Gap(scope, relation, At(after, timeline), null, "a test", DateTimeOffset.UnixEpoch)],
    });

    public PlanVault Covered(ulong lsn, SourceTime? time = null, uint timeline = 1) =>
        Commit(new CommitContent { CoveredTo = new CoveredTo(At(lsn, timeline), time) });

    public PlanVault Transaction(ulong end, int minute, ulong xid)
    {
        _flush.Add(new TransactionStamp(new Lsn(end), Clock(minute), xid));
        return this;
    }

    /// <summary>The transactions so far become one log segment.</summary>
    public PlanVault Flush(uint timeline = 0)
    {
        var path = $"log/{State.Head:d8}.parquet";
        _transactions.Add(path, [.. _flush]);
        var entry = new SegmentEntry(path, SegmentKind.Log, 0, 0, 0, 0, 100, _flush.Count, Sha256.Zero, Sha256.Zero,
            _flush[0].End, _flush[^1].End, _flush.Min(stamp => stamp.Time), _flush.Max(stamp => stamp.Time), _flush.Max(stamp => stamp.Xid), timeline);
        _flush.Clear();
        return Commit(new CommitContent { Add = [entry] });
    }

    public TargetResolution Resolution(IReadOnlySet<int>? only = null) => new(State, segment => _transactions[segment.Path], only);
}
