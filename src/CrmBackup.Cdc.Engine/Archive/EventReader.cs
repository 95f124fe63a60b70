using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Turns the entries of the stream into events of the open log segment and into what the next commit says. Holds the state of
/// one epoch: after any doubt it is thrown away and made anew from the vault.</summary>
sealed partial class EventReader(
    SourceTables tables, LogSegmentBuilder events, PendingCommit pending, DefinitionOrder definitions, Position start, Anchor? anchor = null)
{
    const string OwnSchema = "crmbackup";
    readonly HashSet<uint> _own = [];
    readonly TupleWriter _tuple = new();
    readonly List<Mark> _marks = [];
    readonly HashSet<int> _born = [];
    /// <summary>Relations that are protected from this transaction on, with rows that nobody has told yet.</summary>
    readonly HashSet<int> _joined = [];
    readonly HashSet<int> _unexplained = [];
    readonly HashSet<int> _reshaped = [];
    readonly List<(int Relation, string Reason)> _lost = [];
    readonly HashSet<uint> _named = [];
    /// <summary>The transaction that told a table last, in this epoch.</summary>
    readonly Dictionary<uint, ulong> _toldBy = [];
    /// <summary>Relations with a column whose type became one that nobody can tell its older values in, unless a rewrite follows.</summary>
    readonly Dictionary<int, string> _untold = [];
    readonly List<string> _undescribed = [];
    readonly List<SchemaChange> _changes = [];
    BeginEntry? _begin;
    bool _skipping;
    /// <summary>Where the rows that follow were written, when that matters.</summary>
    Lsn _written;
    bool _ddl;
    bool _told;
    bool _spoken;
    bool _vague;
    int _ordinal;

    /// <summary>End of the last complete transaction, or a later position that is known to hold nothing for us.</summary>
    public Position Position { get; private set; } = start;

    public SourceTime? Time { get; private set; }

    /// <summary>The newest complete transaction that the server will send again when it is asked from here.</summary>
    public Anchor? Anchor { get; private set; } = anchor;

    public bool InTransaction => _begin is not null;

    /// <summary>True while the open transaction's end is known, so that its rows may be written before it is complete.</summary>
    public bool EndKnown => _begin is { End.IsNone: false };

    /// <summary>True while rows of an unfinished transaction may stand in segments: no commit until it ends.</summary>
    public bool HoldsCommit => InTransaction && EndKnown;

    /// <summary>Messages that carried our prefix and a wrong keyed hash.</summary>
    public long ForeignMessages { get; private set; }

    /// <summary>End positions of transactions with DDL since the last look, and whether all of it was described.</summary>
    public Queue<(Lsn End, bool Described)> SchemaChanges { get; } = new();

    /// <summary>What our DDL messages told, by transaction, since the last look.</summary>
    public Queue<ToldDdl> Told { get; } = new();

    /// <summary>Relations that need a new base, with the reason, since the last look.</summary>
    public Queue<(int Relation, string Reason)> BasesNeeded { get; } = new();

    /// <summary>The publication was altered: the choice of tables must be read again.</summary>
    public bool ChoiceChanged { get; private set; }

    public void Read(ReadOnlySpan<byte> entry)
    {
        switch (entry.IsEmpty ? 0 : entry[0])
        {
            case EntryType.Begin: Begin(BeginEntry.Parse(entry)); break;
            case PgOutputFrame.Commit: Commit(CommitFrame.Parse(entry)); break;
            case PgOutputFrame.Relation: Relation(entry); break;
            case PgOutputFrame.Insert or PgOutputFrame.Update or PgOutputFrame.Delete: Row(RowFrame.Parse(entry)); break;
            case PgOutputFrame.Truncate: Truncate(TruncateFrame.Parse(entry)); break;
            case EntryType.Written: _written = WrittenEntry.Parse(entry).At; break;
            case EntryType.OwnMessage: Message(entry[1..]); break;
            case EntryType.ForeignMessage: ForeignMessages++; break;
            // The origin of a replicated transaction and the names of types: shapes carry the types, origins are not kept.
            case PgOutputFrame.Origin or PgOutputFrame.Type: break;
            default: throw new FormatViolationException($"the stream holds an unknown entry: 0x{Convert.ToHexStringLower(entry[..Math.Min(1, entry.Length)])}");
        }
    }

    /// <summary>Everything up to here was received and holds nothing for us.</summary>
    public void Idle(Position at, SourceTime time)
    {
        if (InTransaction)
            throw new FormatViolationException("an idle position came inside a transaction");
        // On a quiet source the position stands still, and time goes on.
        if (at.Lsn >= Position.Lsn)
            (Position, Time) = (at, time);
    }

    /// <summary>Gives the rows so far of an open transaction their (known) end, so that they can be written.</summary>
    public void CompleteOpenRows()
    {
        Invariant.Holds(EndKnown, "rows of a transaction whose end is unknown were to be written");
        events.CompleteTransaction(events.CompleteRows, _begin!.Value.End, _begin.Value.Time);
    }

    void Begin(BeginEntry begin)
    {
        if (InTransaction)
            throw new FormatViolationException($"transaction {begin.Xid} begins inside transaction {_begin!.Value.Xid}");
        _begin = begin;
        _skipping = begin.CommitRecord < Position.Lsn;
        (_ordinal, _written) = (0, Lsn.None);
        (_ddl, _told, _spoken, _vague) = (false, false, false, false);
    }

    void Commit(CommitFrame commit)
    {
        if (_begin is not { } begin || begin.CommitRecord != commit.CommitRecord || commit.End <= commit.CommitRecord || (EndKnown && begin.End != commit.End))
            throw new FormatViolationException($"the commit at {commit.CommitRecord} ends no open transaction");
        _begin = null;
        if (_skipping)
        {
            return;
        }
        events.CompleteTransaction(events.CompleteRows, commit.End, commit.Time);
        var before = Position;
        Position = Position with { Lsn = commit.End };
        Time = commit.Time;
        // One that was streamed, and of which nothing is left, is not sent a second time.
        if (_ordinal > 0 || begin.End.IsNone)
            Anchor = new Anchor(begin.CommitRecord, commit.End, begin.Xid, commit.Time);
        pending.Relations.AddRange(tables.Commit(commit.End, number => _born.Contains(number) || _unexplained.Contains(number)));
        _lost.AddRange(_untold.Where(one => !_born.Contains(one.Key)).Select(one => (one.Key, one.Value)));
        _lost.AddRange(_joined.Select(relation => (relation, $"{tables.Live.First(shape => shape.Number == relation).FullName} is protected from here on")));
        if (_ddl)
            SchemaChanged(begin.Xid, before, commit);
        // What was made and lost in one transaction has no rows that are known.
        _born.ExceptWith(_lost.Select(lost => lost.Relation));
        foreach (var relation in _born)
            pending.Bases.Add(new BaseComplete(relation, 1, Position) { Time = Time });
        foreach (var relation in _unexplained)
            BasesNeeded.Enqueue((relation, "it appeared without a message of ours"));
        foreach (var relation in _reshaped.Except(_lost.Select(lost => lost.Relation)).Except(_born).ToList())
            _lost.Add((relation, "its columns changed without a message of ours"));
        foreach (var mark in _marks)
            pending.Marks.Add(mark with { At = Position, Time = commit.Time, Xid = begin.Xid });
        foreach (var (relation, reason) in _lost.DistinctBy(lost => lost.Relation))
        {
            pending.Gaps.Add(new Gap(GapScope.Relation, relation, before, null, reason, commit.Time.ToDateTimeOffset()));
            BasesNeeded.Enqueue((relation, reason));
        }
        if (_told)
            Told.Enqueue(new ToldDdl(begin.Xid, _named.ToHashSet(), _vague, Ours: !_spoken));
        _named.Clear();
        _reshaped.Clear();
        _born.Clear();
        _joined.Clear();
        _unexplained.Clear();
        _marks.Clear();
        _lost.Clear();
        _untold.Clear();
    }

    /// <summary>What was not described, or was described without seeing what another transaction did to it, is a gap of the schema.</summary>
    void SchemaChanged(ulong xid, Position before, CommitFrame commit)
    {
        if (definitions.Add(xid, _changes) is { } overtaken)
        {
            _undescribed.Add(overtaken.Why);
            _lost.AddRange(OtherText(overtaken).ToList());
        }
        foreach (var oid in _named)
            _toldBy[oid] = xid;
        if (_undescribed.Count > 0)
            pending.Gaps.Add(new Gap(GapScope.Schema, 0, before, null, _undescribed[0], commit.Time.ToDateTimeOffset()));
        SchemaChanges.Enqueue((commit.End, _undescribed.Count == 0));
        _undescribed.Clear();
        _changes.Clear();
    }

    /// <summary>Relations whose values are written by types that another transaction changed at the same time: their shapes do not tell how.</summary>
    IEnumerable<(int, string)> OtherText(Overtaken overtaken)
    {
        var seen = _changes.Where(change => change.Seen is not null).Select(change => Snapshot.Parse(change.Seen!)).ToList();
        foreach (var shape in tables.Live.Where(shape => shape.Columns.Any(column => column.Rule is not null)))
        {
            var other = _named.Contains(shape.Oid) ? overtaken.Names
                : _toldBy.TryGetValue(shape.Oid, out var by) ? overtaken.Named && seen.Exists(one => !one.Sees(by))
                : overtaken.Unknown;
            if (other)
                yield return (shape.Number, $"a type of {shape.FullName} was changed at the same time: {overtaken.Why}");
        }
    }

    void Relation(ReadOnlySpan<byte> entry)
    {
        var frame = RelationFrame.Parse(entry);
        if (frame.Schema == OwnSchema)
            _own.Add(frame.Oid);
        // A transaction that the vault holds told its shapes when it was first read; later ones may have changed them since.
        if (_skipping || _own.Contains(frame.Oid))
            return;
        var before = tables.Find(frame.Oid);
        var unknown = before is null && tables.Image(frame.Oid) is null;
        var shape = tables.Announce(frame);
        if (before is not null && !SameColumns(before, shape))
            _reshaped.Add(shape.Number);
        if (unknown)
            _unexplained.Add(shape.Number);
        if (!shape.Columns.Any(column => column.AttNum == 0))
            return;
        // Since when is not known; the schema is read anew.
        _ddl = true;
        _undescribed.Add($"the columns of {shape.FullName} changed without a message of ours");
    }

    static bool SameColumns(RelationShape before, RelationShape after) =>
        before.Columns.Select(column => (column.Name, column.TypeOid, column.TypeMod))
            .SequenceEqual(after.Columns.Select(column => (column.Name, column.TypeOid, column.TypeMod)));

    void Row(RowFrame row)
    {
        var ordinal = NextOrdinal();
        if (_skipping || Known(row.Oid) is not { } shape)
            return;
        if (!_written.IsNone && tables.IsAmbiguous(row.Oid, _written))
            _untold[shape.Number] = $"a type of {shape.FullName} was changed while rows of it were being written";
        events.Add(row.Kind, shape.Number, shape.Version, _begin!.Value.Xid, ordinal, row.OldKind, row.OldTuple, row.NewTuple);
    }

    void Truncate(TruncateFrame truncate)
    {
        foreach (var oid in truncate.Oids)
        {
            var ordinal = NextOrdinal();
            if (!_skipping && Known(oid) is { } shape)
                events.Add(EventKind.Truncate, shape.Number, shape.Version, _begin!.Value.Xid, ordinal, OldTupleKind.None, default, default);
        }
    }

    /// <summary>Null for our own tables, whose rows are not the CRM's.</summary>
    RelationShape? Known(uint oid)
    {
        if (tables.Find(oid) is { } shape)
            return shape;
        if (_own.Contains(oid))
            return null;
        throw new FormatViolationException($"a row came for relation OID {oid}, which was never announced");
    }

    int NextOrdinal()
    {
        if (!InTransaction)
            throw new FormatViolationException("an event came outside a transaction");
        return _ordinal++;
    }
}
