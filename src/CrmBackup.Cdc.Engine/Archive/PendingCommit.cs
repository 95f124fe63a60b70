using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Everything of complete transactions that the next commit will say beside its segments.</summary>
sealed class PendingCommit
{
    public List<RelationShape> Relations { get; } = [];
    public List<SchemaVersion> Schemas { get; } = [];
    public List<BaseComplete> Bases { get; } = [];
    public List<Mark> Marks { get; } = [];
    public List<Gap> Gaps { get; } = [];
    public List<SequenceSample> Sequences { get; } = [];
    public List<SegmentEntry> Segments { get; } = [];
    public List<BaseChunk> BaseChunks { get; } = [];
    public List<string> Remove { get; } = [];
    public Dictionary<string, string> Settings { get; } = [];

    /// <summary>Null: as it was.</summary>
    public Lsn? SettledTo { get; set; }

    public bool IsEmpty => Relations.Count + Schemas.Count + Bases.Count + Marks.Count + Gaps.Count + Sequences.Count
        + Segments.Count + BaseChunks.Count + Remove.Count + Settings.Count == 0;

    /// <summary>What it would say now.</summary>
    public CommitContent Peek() => new()
    {
        Add = [.. Segments],
        Remove = [.. Remove],
        Relations = [.. Relations],
        Schemas = [.. Schemas],
        BaseChunks = [.. BaseChunks],
        Bases = [.. Bases],
        Marks = [.. Marks],
        Gaps = [.. Gaps],
        Sequences = [.. Sequences],
        Settings = new Dictionary<string, string>(Settings),
        SettledTo = SettledTo,
    };

    /// <summary>Hands everything over and starts anew.</summary>
    public CommitContent Take(CoveredTo? coveredTo)
    {
        var content = Peek() with { CoveredTo = coveredTo };
        Segments.Clear();
        Remove.Clear();
        Relations.Clear();
        Schemas.Clear();
        BaseChunks.Clear();
        Bases.Clear();
        Marks.Clear();
        Gaps.Clear();
        Sequences.Clear();
        Settings.Clear();
        SettledTo = null;
        return content;
    }
}
