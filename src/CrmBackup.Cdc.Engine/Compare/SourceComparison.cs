using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary><c>verify --source</c>: each table of the live source, as one snapshot sees it, against the fold of exactly the transactions
/// that this snapshot saw (rule 6). No lock is held beyond one table's COPY.</summary>
public sealed class SourceComparison(BackupVault vault, TimeProvider clock, ILogger log)
{
    /// <exception cref="RefusedException">The source is not the vault's.</exception>
    public async Task<CompareReport> RunAsync(CompareOptions options, IProgress<CompareProgress>? progress, CancellationToken stop)
    {
        await using var lease = await RestoreLease.TryTakeAsync(vault.Medium, $"verify on {Environment.MachineName}", clock, stop);
        var began = clock.GetTimestamp();
        var settings = ConnectionText.Parse(options.Source);
        await using var source = await SourceMessage.OpenSourceAsync(options.Source, vault, stop);
        await using var yield = new LockYield(settings, clock);
        await using var reader = new BaseChunkReader(settings, [], vault.State.CoveredTo?.Position.Timeline ?? 1, yield, clock);
        var live = new LiveTables(reader, clock);
        var tables = await ReadSourceAsync(source, live, options, progress, stop);
        var barrier = tables.Count > 0 ? tables.Max(table => table.Barrier) : Lsn.None;
        await new DurabilityWait(vault, clock).UntilAsync(barrier, options.DurableWithin, stop);
        var compared = new List<ComparedTable>();
        foreach (var table in tables)
        {
            compared.Add(await CompareAsync(table, live, options, stop));
            progress?.Report(new CompareProgress(compared[^1].Table, Folding: true, compared.Count, tables.Count));
        }
        compared.AddRange(Unseen(tables, options, barrier));
        var report = new CompareReport(vault.Medium.Location, ConnectionText.Describe(settings), barrier, compared, clock.GetElapsedTime(began).TotalSeconds);
        log.Compared(report.Tables.Count, report.Rows, report.Tables.Count(table => table.Equal == false), report.Seconds);
        return report;
    }

    static async Task<List<LiveTable>> ReadSourceAsync(
        NpgsqlConnection source, LiveTables live, CompareOptions options, IProgress<CompareProgress>? progress, CancellationToken stop)
    {
        var read = new List<LiveTable>();
        var chosen = (await TableCatalog.ReadAsync(source, stop))
            .Where(table => options.Tables.Count == 0 || options.Tables.Any(pattern => TableChoice.Matches(pattern, table.ToShape(0, 0, Lsn.None)))).ToList();
        if (chosen.Count == 0 && options.Tables.Count > 0)
            throw new UsageException($"no protected table matches {string.Join(", ", options.Tables)}", "'crmbackup check' lists them.");
        foreach (var table in chosen)
        {
            if (await live.ReadAsync(table, row: null, again: null, stop) is { } one)
                read.Add(one);
            progress?.Report(new CompareProgress($"{table.Schema}.{table.Name}", Folding: false, read.Count, chosen.Count));
        }
        return read;
    }

    async Task<ComparedTable> CompareAsync(LiveTable table, LiveTables live, CompareOptions options, CancellationToken stop)
    {
        var first = await FoldAsync(table, options, finder: null, stop);
        if (first.Equal != false)
            return first;
        // Once more, with the keys: a difference that is one stays, whatever happened meanwhile.
        using var finder = new DifferenceFinder(ShapeOf(table)!, options.Fold.SpillFolder);
        if (await live.ReadAsync(table.Table, finder.AddSource, finder.Clear, stop) is not { } again)
            return first with { Note = "the table was dropped before the keys could be named" };
        await new DurabilityWait(vault, clock).UntilAsync(again.Barrier, options.DurableWithin, stop);
        var second = await FoldAsync(again, options, finder, stop);
        return second.Equal == false
            ? second with { Differences = finder.Find(options.KeysNamed) }
            : first with { Note = "a second look, a moment later, found no difference" };
    }

    async Task<ComparedTable> FoldAsync(LiveTable table, CompareOptions options, DifferenceFinder? finder, CancellationToken stop)
    {
        var name = $"{table.Table.Schema}.{table.Table.Name}";
        var state = vault.State;
        ComparedTable Uncompared(string why) => new(name, table.Hash.Rows, 0, table.Hash.Value, null, null, [], why);
        if (ShapeOf(table) is not { } shape)
            return Uncompared("the vault does not know this table");
        var at = state.CoveredTo!.Position with { Lsn = table.Barrier };
        if (!Coverage.Of(state, new HashSet<int> { shape.Number }).Holds(at))
            return Uncompared("not covered: its base is not complete, or a gap is open");
        if (new RelationPlanner(state, at.Timeline).SeenBy(shape, table.Snapshot) is not { } plan
            || state.Gaps.Exists(gap => gap.Scope != GapScope.Schema && (gap.Relation == shape.Number || gap.Scope == GapScope.Database)
                && gap.After.Lsn >= plan.Base.From.Lsn && gap.After.Lsn < table.Barrier))
            return Uncompared("its base is younger than the comparison");
        if (!shape.Columns.Select(column => column.AttNum).SequenceEqual(
            table.Table.Columns.Where(column => column.Generated == 'n').Select(column => column.AttNum)))
            return Uncompared("its columns were changed while it was compared");
        using var hasher = new RowHasher();
        var digest = new byte[32];
        var fold = await RelationFold.RunAsync(new RelationRows(vault.Medium).Input(plan, (_, xid) => table.Snapshot.Sees(xid)), options.Fold, (batch, _) =>
        {
            for (var row = 0; finder is not null && row < batch.Count; row++)
            {
                hasher.HashRow(batch[row], digest);
                finder.AddVault(batch[row], digest);
            }
            return ValueTask.CompletedTask;
        }, stop);
        return new ComparedTable(name, table.Hash.Rows, fold.Rows, table.Hash.Value, fold.Hash.Value, fold.Hash.Matches(table.Hash), []);
    }

    RelationShape? ShapeOf(LiveTable table) =>
        vault.State.RelationsAt(table.Barrier).Values.FirstOrDefault(shape => shape.Oid == table.Table.Oid);

    /// <summary>Tables of the vault that the source does not have.</summary>
    IEnumerable<ComparedTable> Unseen(List<LiveTable> tables, CompareOptions options, Lsn barrier)
    {
        var seen = tables.Select(table => table.Table.Oid).ToHashSet();
        return vault.State.RelationsAt(barrier).Values
            .Where(shape => !seen.Contains(shape.Oid) && (options.Tables.Count == 0 || options.Tables.Any(pattern => TableChoice.Matches(pattern, shape))))
            .Select(shape => new ComparedTable(shape.FullName, 0, 0, null, null, null, [], "the source does not have this table any more, or it is not protected"));
    }
}
