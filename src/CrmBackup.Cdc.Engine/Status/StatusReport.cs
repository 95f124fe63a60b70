using System.Globalization;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The newest commit of the vault.</summary>
public sealed record HeadStatus(long Number, Sha256 Hash, DateTimeOffset Time, TimeSpan Age, int Epoch, string Host, int Pid);

/// <summary>Everything up to here is on the medium.</summary>
public sealed record DurableStatus(Lsn Lsn, uint Timeline, SourceTime? Time);

/// <summary>A base that is being read.</summary>
public sealed record BaseProgress(string Table, long RowsRead, int ChunksRead);

/// <param name="Complete">Tables whose newest state can be restored, of <paramref name="Tables"/>.</param>
/// <param name="Repaired">Tables whose newest base was made by difference to what the vault knew, after a gap.</param>
public sealed record BaseStatus(int Tables, int Complete, IReadOnlyList<BaseProgress> Pending, IReadOnlyList<RepairedTable> Repaired);

/// <param name="Table">Null: the whole database.</param>
/// <param name="Open">Coverage has not begun again yet.</param>
public sealed record GapStatus(GapScope Scope, string? Table, Lsn After, Lsn? Until, bool Open, string Reason, DateTimeOffset FoundAt);

/// <summary>The newest schema of the vault.</summary>
/// <param name="From">It is exact from here on.</param>
/// <param name="Until">DDL ended it here and is not stored yet; null while it is the present one.</param>
public sealed record SchemaStatus(Lsn From, Lsn? Until);

/// <summary>What <c>status</c> answers: is this source protected now?</summary>
/// <param name="Problems">Why not, one line each; empty exactly when <paramref name="Protecting"/>.</param>
/// <param name="SettledTo">Analysts' views are complete up to here.</param>
public sealed record StatusReport(
    bool Protecting, IReadOnlyList<string> Problems, string Vault, Guid VaultId, string Database, HeadStatus? Head, DurableStatus? Durable,
    BaseStatus Bases, SchemaStatus? Schema, IReadOnlyList<GapStatus> Gaps, Lsn? SettledTo, int Segments, long Bytes, SourceStatus? Source)
{
    /// <summary>An idle archive commits every ten minutes at the least.</summary>
    public static readonly TimeSpan StaleAfter = TimeSpan.FromMinutes(15);

    /// <param name="source">Null: only what the vault itself says is judged.</param>
    /// <param name="lost">A commit that was seen once, and that the vault does not hold any more.</param>
    /// <param name="waiting">What an archive of this machine waits for.</param>
    public static StatusReport Of(BackupVault vault, SourceStatus? source, TimeProvider clock, RememberedHead? lost = null, string? waiting = null)
    {
        var state = vault.State;
        var coverage = Coverage.Of(state);
        var head = vault.Newest is { } newest
            ? new HeadStatus(
                state.Head, state.HeadHash, newest.Head.Time, clock.GetUtcNow() - newest.Head.Time, newest.Head.Writer.Epoch,
                newest.Head.Writer.Host, newest.Head.Writer.Pid)
            : null;
        var durable = state.CoveredTo is { } newestState
            ? new DurableStatus(newestState.Position.Lsn, newestState.Position.Timeline, newestState.SourceTime) : null;
        var bases = BasesOf(state, coverage);
        var covered = state.CoveredTo is { } end && coverage.Holds(end.Position);
        var problems = Judge(head, durable, bases, state.Schemas.Count > 0, covered, source).Concat(SetupProblems(state)).ToList();
        if (lost is not null)
            problems.Insert(0, $"commit {lost.Reference}, seen at {lost.Seen:u}, is not there any more: history was cut off or replaced; 'crmbackup verify' says more");
        if (waiting is not null)
            problems.Insert(0, $"nothing is written: {waiting}");
        return new StatusReport(
            problems.Count == 0, problems, vault.Medium.Location, vault.Identity.Id, vault.Identity.Database, head, durable, bases,
            state.Schemas.Count > 0 ? new SchemaStatus(state.Schemas[^1].From.Lsn, state.Schemas[^1].Until?.Lsn) : null,
            [.. state.Gaps.Select(gap => GapOf(gap, state, coverage))], state.SettledTo.IsNone ? null : state.SettledTo,
            state.Segments.Count, state.Segments.Values.Sum(segment => segment.Bytes), source);
    }

    static IEnumerable<string> Judge(HeadStatus? head, DurableStatus? durable, BaseStatus bases, bool hasSchema, bool covered, SourceStatus? source)
    {
        if (head is null || durable is null)
            yield return "nothing is archived yet: 'crmbackup run' was never at work on this vault";
        else if (head.Age > StaleAfter)
            yield return string.Create(CultureInfo.InvariantCulture,
                $"nothing was written for {Math.Floor(head.Age.TotalMinutes)} minutes: is 'crmbackup run' at work? The last writer was process {head.Pid} on {head.Host}");
        else if (bases.Complete < bases.Tables)
            yield return $"{bases.Tables - bases.Complete} of {bases.Tables} tables cannot be restored to now: {Names(bases.Pending.Select(table => table.Table))}";
        else if (!hasSchema)
            yield return "the schema is not stored yet: rows alone cannot be restored";
        else if (!covered)
            yield return "nothing can be restored to now: after a gap the source's tables are not known yet";
        if (source is not null && source.Lsn < durable?.Lsn)
            yield return $"the source is at {source.Lsn}, before the vault's position {durable.Lsn}: it was set back, and is protected again when it has passed that";
        if (source?.ConfirmedLsn > durable?.Lsn)
            yield return $"the slot is at {source.ConfirmedLsn}, beyond the vault's position {durable.Lsn}: what lies between was not captured, a gap";
        foreach (var problem in source?.Problems() ?? [])
            yield return problem;
    }

    /// <summary>As capture last saw the set-up in the source.</summary>
    static IEnumerable<string> SetupProblems(VaultState state) =>
        state.Settings.TryGetValue(Setting.Problems, out var lines) && lines.Length > 0
            ? lines.Split('\n').Select(line => $"{line} (run 'crmbackup init' on the source)") : [];

    static BaseStatus BasesOf(VaultState state, Coverage coverage)
    {
        var newest = state.CoveredTo?.Position;
        var live = coverage.Relations.Where(table => table.Live).ToList();
        var pending = live.Where(table => newest is not { } now || !table.Holds(now)).ToList();
        return new BaseStatus(live.Count, live.Count - pending.Count, [.. pending.Select(table =>
        {
            var complete = state.Bases.Where(known => known.Relation == table.Relation).Select(known => known.BaseId).DefaultIfEmpty(0).Max();
            var chunks = state.BaseChunks.Where(chunk => chunk.Relation == table.Relation && chunk.BaseId > complete).ToList();
            return new BaseProgress(table.Name, chunks.Sum(chunk => chunk.Rows), chunks.Count);
        })], [.. Repaired(state, live.Except(pending))]);
    }

    static IEnumerable<RepairedTable> Repaired(VaultState state, IEnumerable<RelationCoverage> tables)
    {
        var newest = state.Bases.GroupBy(complete => complete.Relation).ToDictionary(bases => bases.Key, bases => bases.Max(one => one.BaseId));
        var chunks = state.BaseChunks.ToLookup(chunk => (chunk.Relation, chunk.BaseId));
        return tables.Select(table => RepairedTable.Of(table.Name, [.. chunks[(table.Relation, newest[table.Relation])]])).OfType<RepairedTable>();
    }

    static GapStatus GapOf(Gap gap, VaultState state, Coverage coverage)
    {
        var table = gap.Scope == GapScope.Relation ? coverage.Relations.FirstOrDefault(known => known.Relation == gap.Relation) : null;
        var newest = state.CoveredTo?.Position;
        var open = gap.Scope switch
        {
            GapScope.Schema => gap.Until is null,
            GapScope.Relation => table is { Live: true } && newest is { } now && !table.Holds(now),
            _ => newest is { } at && !coverage.Holds(at),
        };
        return new GapStatus(gap.Scope, table?.Name, gap.After.Lsn, gap.Until?.Lsn, open, gap.Reason, gap.FoundAt);
    }

    static string Names(IEnumerable<string> names)
    {
        var list = names.Take(4).ToList();
        return list.Count < 4 ? string.Join(", ", list) : string.Join(", ", list.Take(3)) + ", …";
    }
}
