namespace CrmBackup.Cdc.Core;

/// <summary>What kind of rows a segment holds.</summary>
public enum SegmentKind
{
    /// <summary>All tables mixed, commit order, tuples as they came.</summary>
    Log,
    /// <summary>Rows of one table as one snapshot saw them, typed.</summary>
    Base,
    /// <summary>Events of one table in commit order, typed: settled from log segments.</summary>
    Changes,
}

/// <summary>A segment as a commit names it. A file that no commit names does not exist.</summary>
/// <param name="Path">Relative to the vault, '/' separated.</param>
/// <param name="Relation">The relation's number; 0 for log segments and for settled messages.</param>
/// <param name="Shape">The one shape version all rows of a table segment have; 0 in log segments.</param>
/// <param name="BaseId">Which base of the relation (from 1); 0 unless <see cref="SegmentKind.Base"/>.</param>
/// <param name="Chunk">Chunk within the base.</param>
/// <param name="FileHash">SHA-256 over the file's bytes.</param>
/// <param name="ContentHash">SHA-256 over the events in order (<see cref="ContentHasher"/>).</param>
/// <param name="First">First and last commit end LSN (events) or <see cref="Lsn.None"/> (base).</param>
/// <param name="FirstTime">Lowest commit time among the events, not that of the first: commit times run backwards at times.</param>
/// <param name="LastTime">Highest commit time among the events.</param>
/// <param name="MaxXid">Highest xid among the events: a snapshot whose xmin lies above sees all of them.</param>
/// <param name="Timeline">Of the events' positions: after a failover the same LSNs come again. 0 = not said (any).</param>
public sealed record SegmentEntry(
    string Path, SegmentKind Kind, int Relation, int Shape, int BaseId, int Chunk,
    long Bytes, long Rows, Sha256 FileHash, Sha256 ContentHash,
    Lsn First, Lsn Last, SourceTime? FirstTime, SourceTime? LastTime, ulong MaxXid, uint Timeline = 0);

/// <summary>One chunk of a base, read by COPY in one short transaction; or compared in one, and read where it differed.</summary>
/// <param name="Snapshot"><c>pg_current_snapshot()</c> of that transaction, as text.</param>
/// <param name="FromPage">First heap page, inclusive; of compared chunks: their number in the order of the keys.</param>
/// <param name="ToPage">Exclusive; null = open-ended (the last chunk, or the whole table).</param>
/// <param name="Keys">True for the repair chunk: rows re-read by key, because an event in the base's window carried unchanged TOAST.</param>
public sealed record BaseChunk(
    int Relation, int BaseId, int Chunk, string Snapshot, int Shape, long FromPage, long? ToPage, bool Keys, long Rows)
{
    /// <summary><c>pg_relation_filenode</c> when it was read: another one later means the base starts anew.</summary>
    public uint FileNode { get; init; }

    /// <summary>Everything visible to the snapshot was committed at or before this end LSN.</summary>
    public Lsn Barrier { get; init; }

    /// <summary>Null where all rows were read.</summary>
    public ComparedKeys? Compared { get; init; }
}

/// <summary>A base is whole: coverage of the relation begins at <paramref name="From"/> (a barrier after the newest chunk's snapshot).
/// A table created in the stream has a base without chunks from its creation on.</summary>
public sealed record BaseComplete(int Relation, int BaseId, Position From)
{
    /// <summary>A commit time on the source at or after <see cref="From"/>; null when none was seen yet.</summary>
    public SourceTime? Time { get; init; }
}

/// <summary>A restore point with a name. The state after its transaction, or (<paramref name="Before"/>) before it.</summary>
public sealed record Mark(string Name, Position At, bool Before, SourceTime Time, ulong Xid);

public enum GapScope
{
    Database,
    Relation,
    /// <summary>Data exact, schema approximate.</summary>
    Schema,
}

/// <summary>What could not be captured: states with After &lt; end LSN are not known, until a new base of the scope begins coverage
/// again, and not before <paramref name="Until"/> (<see cref="GapScope.Schema"/>: until then).</summary>
public sealed record Gap(GapScope Scope, int Relation, Position After, Position? Until, string Reason, DateTimeOffset FoundAt);

/// <summary>The schema as one pg_dump saw it, valid for every position in [From, Until): no DDL lies between.</summary>
/// <param name="Hash">Of its manifest; the folder's name under <c>schema/</c>.</param>
/// <param name="Until">Null until a DDL ends it. Later commits repeat the version with Until set.</param>
/// <param name="DescribedFrom">Definitions sent after this position and up to the target make it the schema of any later moment, until a
/// schema gap. Null: the dump has no keys to fold them by.</param>
public sealed record SchemaVersion(Sha256 Hash, Position From, Position? Until, Lsn? DescribedFrom = null);

/// <summary>One sequence, sampled after everything up to a position had been received.</summary>
public sealed record SequenceState(
    string Schema, string Name, string LastValue, bool IsCalled, string? OwnedByTable = null, short OwnedByColumn = 0, long Increment = 1);

/// <summary>Only the sequences that moved since the sample before.</summary>
public sealed record SequenceSample(Position At, IReadOnlyList<SequenceState> Sequences)
{
    /// <summary>Those that the sample before knew and this one could not read: dropped, renamed, or locked at that moment.</summary>
    public IReadOnlyList<SequenceName> Absent { get; init => field = value ?? []; } = [];
}

public readonly record struct SequenceName(string Schema, string Name);

public sealed record WriterIdentity(Guid Id, int Epoch, string Host, int Pid);

/// <summary>Everything before or at this position is part of the vault.</summary>
public sealed record CoveredTo(Position Position, SourceTime? SourceTime)
{
    /// <summary>By which the source is recognised when it is read again; null when the vault holds no transaction of this slot, or does not
    /// know it for the newest.</summary>
    public Anchor? Anchor { get; init; }
}

/// <summary>The lists of one commit. An empty list is not written; a list that is not there (the JSON reader
/// gives null) is empty. <see cref="VaultState"/> folds them.</summary>
public sealed record CommitContent
{
    static readonly IReadOnlyDictionary<string, string> Nothing = new Dictionary<string, string>();

    public IReadOnlyList<SegmentEntry> Add { get; init => field = value ?? []; } = [];
    /// <summary>Paths that leave the live set; the files stay until prune's grace is over.</summary>
    public IReadOnlyList<string> Remove { get; init => field = value ?? []; } = [];
    public IReadOnlyList<RelationShape> Relations { get; init => field = value ?? []; } = [];
    public IReadOnlyList<SchemaVersion> Schemas { get; init => field = value ?? []; } = [];
    public IReadOnlyList<BaseChunk> BaseChunks { get; init => field = value ?? []; } = [];
    public IReadOnlyList<BaseComplete> Bases { get; init => field = value ?? []; } = [];
    public IReadOnlyList<Mark> Marks { get; init => field = value ?? []; } = [];
    public IReadOnlyList<Gap> Gaps { get; init => field = value ?? []; } = [];
    public IReadOnlyList<SequenceSample> Sequences { get; init => field = value ?? []; } = [];
    /// <summary>Relations that were chosen not to be protected any more; coverage ends at the commit's position.</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init => field = value ?? Nothing; } = Nothing;
    public CoveredTo? CoveredTo { get; init; }
    /// <summary>The settled watermark: every event at or before it stands in table segments.</summary>
    public Lsn? SettledTo { get; init; }
    public ParityContent? Parity { get; init; }
    /// <summary>Features a reader must know to read this vault right.</summary>
    public IReadOnlyList<string> Requires { get; init => field = value ?? []; } = [];
}
