using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Which transactions to list.</summary>
public sealed record SearchOptions
{
    /// <summary>The moment around which to look; or <see cref="AroundLsn"/>.</summary>
    public SourceTime? Around { get; init; }
    public Lsn? AroundLsn { get; init; }
    /// <summary>Five minutes to either side: people remember roughly when it was.</summary>
    public TimeSpan Within { get; init; } = TimeSpan.FromMinutes(5);
    /// <summary>schema.table, or the bare name in any schema; null = all.</summary>
    public string? Table { get; init; }
    /// <summary>Fewer changed rows are not listed; truncates, rewrites, DROP and ALTER TABLE always are.</summary>
    public long MinRows { get; init; } = 1;
    /// <summary>The biggest ones; this bounds memory too.</summary>
    public int Limit { get; init; } = 20;
}

/// <param name="Transactions">The biggest first; truncates, rewrites, DROP and ALTER TABLE before all.</param>
/// <param name="Omitted">How many more there were in the window.</param>
public sealed record SearchResult(
    SourceTime From, SourceTime To, IReadOnlyList<TransactionSummary> Transactions, long Omitted);

/// <summary>Finds the transactions around a moment: how one finds the disaster. Reads only the segments that overlap the window.</summary>
public sealed class TransactionSearch(BackupVault vault)
{
    readonly VaultState _state = vault.State;
    readonly EventMerge _merge = new(vault.Medium);

    /// <exception cref="UsageException">The vault holds no transaction yet, or never knew such a table.</exception>
    public SearchResult Find(SearchOptions options, CancellationToken stop)
    {
        var middle = options.Around ?? TimeOf(options.AroundLsn ?? throw new ArgumentException("neither time nor LSN", nameof(options)));
        var from = SourceTime.From(middle.ToDateTimeOffset() - options.Within);
        var to = SourceTime.From(middle.ToDateTimeOffset() + options.Within);
        var relations = options.Table is { } table ? Named(table) : null;
        var biggest = new PriorityQueue<TransactionSummary, (bool, long)>();
        long omitted = 0;
        TransactionTally? open = null;
        foreach (var change in _merge.Read(Overlapping(from, to)))
        {
            stop.ThrowIfCancellationRequested();
            if (open is not null && open.Lsn != change.CommitLsn)
            {
                Keep(open.Summary());
                open = null;
            }
            if (change.CommitTime < from || change.CommitTime > to || relations?.Contains(change.Relation) == false)
                continue;
            open ??= new TransactionTally(change);
            open.Add(change, change.Relation == 0 ? "" : _state.Shape(change.Relation, change.Shape).FullName);
        }
        if (open is not null)
            Keep(open.Summary());
        var found = new List<TransactionSummary>();
        while (biggest.TryDequeue(out var summary, out _))
            found.Add(summary);
        found.Reverse();
        return new SearchResult(from, to, found, omitted);

        void Keep(TransactionSummary summary)
        {
            // Barriers alone change nothing.
            var speaks = options.MinRows <= 1 && (summary.Marks.Count > 0 || summary.Commands.Count > 0);
            if (summary.Rows < options.MinRows && !summary.IsSweeping && !speaks)
                return;
            biggest.Enqueue(summary, (summary.IsSweeping, summary.Rows));
            if (biggest.Count <= options.Limit)
                return;
            biggest.Dequeue();
            omitted++;
        }
    }

    IEnumerable<SegmentEntry> Overlapping(SourceTime from, SourceTime to) => TargetResolution.EventSegments(_state)
        .Where(segment => (segment.LastTime is null || segment.LastTime >= from) && (segment.FirstTime is null || segment.FirstTime <= to));

    /// <summary>When the transaction at a position was committed, or the last one before it, or else the first one after.</summary>
    SourceTime TimeOf(Lsn lsn)
    {
        var events = TargetResolution.EventSegments(_state).Where(segment => segment.Rows > 0).ToList();
        var segment = events.Where(segment => segment.First <= lsn).OrderByDescending(segment => segment.First).FirstOrDefault()
            ?? events.MinBy(segment => segment.First)
            ?? throw new UsageException("the vault holds no transaction yet", $"It is {Coverage.Of(_state).Describe()}.");
        SourceTime? time = null;
        foreach (var change in _merge.Read([segment]))
        {
            if (change.CommitLsn > lsn && time is not null)
                break;
            time = change.CommitTime;
            if (change.CommitLsn > lsn)
                break;
        }
        return time!.Value;
    }

    HashSet<int> Named(string table)
    {
        var numbers = _state.Relations
            .Where(shape => table.Contains('.', StringComparison.Ordinal) ? shape.FullName == table : shape.Name == table)
            .Select(shape => shape.Number).ToHashSet();
        return numbers.Count > 0 ? numbers
            : throw new UsageException($"the vault never knew a table {table}", "Write it as schema.table, as the source spells it: " + Some() + ".");
    }

    string Some() => string.Join(", ", _state.Relations.Select(shape => shape.FullName).Distinct().Order(StringComparer.Ordinal).Take(5));
}
