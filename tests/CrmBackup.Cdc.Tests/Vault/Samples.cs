using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests;

/// <summary>One of everything that a commit can hold.</summary>
static class Samples
{
    public static RelationShape Accounts { get; } = new(
        1, 1, new Lsn(0x10), 16384, "crm", "accounts", ReplicaIdentity.Default,
        [
            new ColumnShape(1, "id", 20, -1, "bigint", true),
            new ColumnShape(3, "name", 25, -1, "text", false, "unnamed"),
        ]);

    public static Position At(ulong lsn) => new(1, new Lsn(lsn));

    public static SegmentEntry Segment(string path, byte[] bytes, SegmentKind kind = SegmentKind.Log, ulong last = 0x200) => new(
        path, kind, kind == SegmentKind.Log ? 0 : 1, kind == SegmentKind.Log ? 0 : 1, kind == SegmentKind.Base ? 1 : 0, 0,
        bytes.Length, 3, Sha256.Of(bytes), Sha256.Of([7]),
        kind == SegmentKind.Base ? Lsn.None : new Lsn(0x100), kind == SegmentKind.Base ? Lsn.None : new Lsn(last),
        kind == SegmentKind.Base ? null : new SourceTime(1_795_000_000_000_000), kind == SegmentKind.Base ? null : new SourceTime(1_795_000_000_000_001),
        kind == SegmentKind.Base ? 0UL : 741, 1);

    /// <param name="segment">A segment that stands on the medium.</param>
    public static CommitContent Everything(SegmentEntry segment, Sha256 schema, params string[] remove) => new()
    {
        Add = [segment],
        Remove = remove,
        Relations = [Accounts],
        Schemas = [new SchemaVersion(schema, At(0x10), null)],
        BaseChunks = [new BaseChunk(1, 1, 0, "739:745:740,742", 1, 0, 100, false, 3), new BaseChunk(1, 1, 1, "739:745:", 1, 100, null, false, 0)],
        Bases = [new BaseComplete(1, 1, At(0x20))],
        Marks = [new Mark("before import", At(0x30), true, new SourceTime(1_795_000_000_000_000), 741)],
        Gaps =
        [
            new Gap(GapScope.Database, 0, At(0x5), null, "the slot was lost", DateTimeOffset.UnixEpoch),
            new Gap(GapScope.Relation, 1, At(0x6), null, "rewritten", DateTimeOffset.UnixEpoch),
            new Gap(GapScope.Schema, 0, At(0x7), At(0x9), "dump interrupted", DateTimeOffset.UnixEpoch),
        ],
        Sequences = [new SequenceSample(At(0x40), [new SequenceState("crm", "accounts_id_seq", "42", true, "crm.accounts", 1), new SequenceState("crm", "lone", "-1", false)]) { Absent = [new SequenceName("crm", "gone_id_seq")] }],
        Settings = new Dictionary<string, string> { ["publication"] = "crmbackup" },
        CoveredTo = new CoveredTo(At(0x200), new SourceTime(1_795_000_000_000_002)),
        SettledTo = new Lsn(0x50),
    };
}
