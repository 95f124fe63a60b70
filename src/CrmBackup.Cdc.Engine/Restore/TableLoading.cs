using System.Collections.Concurrent;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <param name="Into">Schema and name in the target.</param>
sealed record LoadedTable(RelationPlan Plan, (string Schema, string Name) Into, FoldResult Fold);

/// <summary>Folds and loads tables, several at a time, the largest first.</summary>
/// <param name="giveWay">Asked when a table takes no row; null when nothing may give way.</param>
sealed class TableLoading(BackupVault vault, RestoreOptions options, IProgress<RestoreProgress>? progress, GiveWay? giveWay = null)
{
    /// <summary>Obstacles of one table: more are no moment's difference.</summary>
    const int Obstacles = 200;

    readonly RelationRows _rows = new(vault.Medium);

    /// <param name="into">Where a relation goes in the target.</param>
    public async Task<IReadOnlyList<LoadedTable>> RunAsync(
        PlannedRestore planned, TargetDatabase target, Func<RelationShape, (string, string)> into, CancellationToken stop)
    {
        var loaded = new ConcurrentBag<LoadedTable>();
        var rows = 0L;
        var total = planned.Plan.Relations.Sum(relation => relation.RowsRead);
        var fold = options.Fold with { SpillFolder = Path.Combine(options.Fold.SpillFolder, Guid.NewGuid().ToString("n")) };
        try
        {
            await Parallel.ForEachAsync(planned.Plan.Relations.OrderByDescending(relation => relation.Bytes),
                new ParallelOptions { MaxDegreeOfParallelism = options.Jobs, CancellationToken = stop }, async (relation, token) =>
                {
                    var name = into(relation.Shape);
                    if (await LoadFittingAsync(relation, name, planned, target, fold, token) is { } result)
                        loaded.Add(new LoadedTable(relation, name, result));
                    progress?.Report(new RestoreProgress(RestorePhase.Load, relation.Shape.FullName, Interlocked.Add(ref rows, relation.RowsRead), total));
                });
        }
        finally
        {
            if (Directory.Exists(fold.SpillFolder))
                Directory.Delete(fold.SpillFolder, recursive: true);
        }
        return [.. loaded.OrderBy(table => table.Plan.Shape.Number)];
    }

    /// <returns>Null when the target takes its rows in no way; that has been told.</returns>
    async Task<FoldResult?> LoadFittingAsync(
        RelationPlan relation, (string Schema, string Name) into, PlannedRestore planned, TargetDatabase target, FoldOptions fold, CancellationToken stop)
    {
        for (var obstacle = 0; ; obstacle++)
            try
            {
                return await LoadAsync(relation, into, planned, target, fold, stop);
            }
            catch (BackupException failure) when (giveWay is not null && obstacle < Obstacles && failure.InnerException is PostgresException)
            {
                if (!await giveWay(target, into, (PostgresException)failure.InnerException, stop))
                    return null;
            }
    }

    async Task<FoldResult> LoadAsync(
        RelationPlan relation, (string Schema, string Name) into, PlannedRestore planned, TargetDatabase target, FoldOptions fold, CancellationToken stop)
    {
        var at = planned.Target.At.Lsn;
        await using var connection = await target.OpenAsync(stop);
        if (giveWay is not null)
            await RowObstacle.ReadyAsync(connection, stop);
        TableLoader? loader = null;
        try
        {
            var result = await RelationFold.RunAsync(_rows.Input(relation, (end, _) => end <= at, planned.Keep), fold, async (batch, token) =>
            {
                loader ??= await TableLoader.OpenAsync(
                    connection, into.Schema, into.Name, relation.Shape.Columns.Select(column => column.Name), token);
                for (var row = 0; row < batch.Count; row++)
                    loader.Add(batch[row]);
                await loader.FlushAsync(token);
            }, stop);
            if (loader is not null)
                await loader.CompleteAsync(stop);
            return result;
        }
        finally
        {
            if (loader is not null)
                await loader.DisposeAsync();
        }
    }
}
