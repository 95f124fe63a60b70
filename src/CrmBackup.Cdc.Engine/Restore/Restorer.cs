using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary><c>restore</c>: a moment of the vault becomes a database, or tables of one. Phases one after the other, a file each.</summary>
public sealed class Restorer(BackupVault vault, TimeProvider clock, ILogger log)
{
    /// <returns>Also when the target did not take everything: the report says what, and its exit code is not 0.</returns>
    /// <exception cref="RefusedException">The target moment is not covered, or the target database must not be touched.</exception>
    /// <exception cref="DifferenceException">A file of the vault is damaged: nothing of the restore remains, unless it is kept.</exception>
    /// <param name="locale">Of a database that is made; UTF8 and the server's own when null.</param>
    public async Task<RestoreReport> RunAsync(
        RestoreOptions options, IProgress<RestoreProgress>? progress, CancellationToken stop, DatabaseLocale? locale = null)
    {
        // Prune keeps away from here on; what it had removed before is not in the state that is read after.
        await using var lease = options.DryRun ? null
            : await RestoreLease.TryTakeAsync(vault.Medium, $"restore to {options.To} on {Environment.MachineName}", clock, stop);
        await vault.RefreshAsync(stop);
        var watch = new PhaseWatch(clock, progress);
        var settings = ConnectionText.Parse(options.Target, "--target");
        watch.Begin(RestorePhase.Plan);
        var planned = RestorePlanning.Plan(vault, options);
        log.RestorePlanned(options.To, planned.Target.At, planned.Plan.Relations.Count, planned.Plan.Bytes);
        var report = Describe(options, planned, settings);
        if (options.DryRun)
            return report with { Seconds = watch.Total, PhaseSeconds = watch.Seconds };
        if (options.Tables.Count > 0 && await TargetDatabase.ExistsAsync(settings, stop))
            return await new TableRestore(vault, clock, options, watch).RunAsync(planned, TargetDatabase.Existing(settings), report, stop);
        if (options.Replace)
            throw new UsageException("--replace needs chosen tables and an existing database", "Add --table schema.table, or leave --replace out.");
        return await IntoNewAsync(options, planned, settings, report, watch, locale ?? new DatabaseLocale("UTF8", null, null), stop);
    }

    /// <summary>The whole way into a database that holds nothing yet.</summary>
    async Task<RestoreReport> IntoNewAsync(
        RestoreOptions options, PlannedRestore planned, NpgsqlConnectionStringBuilder settings, RestoreReport report, PhaseWatch watch,
        DatabaseLocale locale, CancellationToken stop)
    {
        watch.Begin(RestorePhase.Prepare);
        var source = vault.State.Settings.GetValueOrDefault("database", vault.Identity.Database);
        var schema = await TargetSchema.ReadAsync(vault, planned.Plan, options.Tables.Count > 0, watch.Progress, stop);
        var target = await TargetDatabase.PrepareAsync(
            settings, locale, (vault.Identity.SystemIdentifier, source), stop);
        try
        {
            watch.Begin(RestorePhase.Schema);
            await schema.BeforeRowsAsync(target, stop);
            watch.Begin(RestorePhase.Load);
            var loaded = await new TableLoading(vault, options, watch.Progress, schema.GiveWayAsync)
                .RunAsync(planned, target, shape => (shape.Schema, shape.Name), stop);
            watch.Begin(RestorePhase.Indexes);
            await schema.AfterRowsAsync(target, stop);
            watch.Begin(RestorePhase.Finish);
            await FinishAsync(target, planned.Plan, schema, stop);
            await schema.EventTriggersAsync(target, stop);
            var tables = await ProveAsync(options, target, loaded, watch, stop);
            log.RestoreDone(target.Name, tables.Sum(table => table.Rows), tables.Count, watch.Total);
            return report with
            {
                Tables = tables,
                Violations = schema.Violations,
                Notes = schema.Notes,
                Fidelity = [.. schema.Fidelity(report.Fidelity), .. await ObjectsAsync(target, stop)],
                Seconds = watch.Total,
                PhaseSeconds = watch.Seconds,
                Verified = options.Verify ? tables.All(table => table.Verified == true) : null,
            };
        }
        catch (Exception)
        {
            await GiveUpAsync(target, options);
            throw;
        }
    }

    static async Task FinishAsync(TargetDatabase target, RestorePlan plan, TargetSchema schema, CancellationToken stop)
    {
        await using var connection = await target.OpenAsync(stop);
        foreach (var sequence in plan.Sequences)
            if (!await TargetFinish.SetSequenceAsync(connection, sequence, stop))
                await schema.MissesAsync(connection, sequence, stop);
        schema.Add(await TargetFinish.RefreshViewsAsync(connection, stop));
        await TargetFinish.AnalyzeAsync(connection, stop);
    }

    static async Task<IReadOnlyList<FidelityLine>> ObjectsAsync(TargetDatabase target, CancellationToken stop)
    {
        await using var connection = await target.OpenAsync(stop);
        return await TargetFinish.ObjectsAsync(connection, stop);
    }

    internal static async Task<IReadOnlyList<RestoredTable>> ProveAsync(
        RestoreOptions options, TargetDatabase target, IReadOnlyList<LoadedTable> loaded, PhaseWatch watch, CancellationToken stop)
    {
        if (options.Verify)
            watch.Begin(RestorePhase.Verify);
        var tables = new List<RestoredTable>();
        await using var connection = await target.OpenAsync(stop);
        foreach (var table in loaded)
        {
            var shape = table.Plan.Shape;
            bool? equal = options.Verify
                ? (await TableProof.HashAsync(connection, TableProof.Select(table.Into, shape), shape.Columns.Count, null, stop)).Matches(table.Fold.Hash)
                : null;
            tables.Add(new RestoredTable(shape.FullName, $"{table.Into.Schema}.{table.Into.Name}", table.Fold.Rows, table.Fold.Hash.Value, equal));
            watch.Progress?.Report(new RestoreProgress(RestorePhase.Verify, shape.FullName, tables.Count, loaded.Count));
        }
        return tables;
    }

    RestoreReport Describe(RestoreOptions options, PlannedRestore planned, NpgsqlConnectionStringBuilder settings) => new(
        vault.Medium.Location, options.To.ToString()!, planned.Target.At.Lsn, planned.Target.At.Timeline, planned.Target.Why, planned.Target.Last?.Time,
        ConnectionText.Describe(settings), options.DryRun,
        [.. planned.Plan.Relations.Select(relation => new RestoredTable(relation.Shape.FullName, relation.Shape.FullName, relation.RowsRead, null, null))],
        [.. planned.Plan.Fidelity, new FidelityLine("schema crmbackup, its publication and triggers", Fidelity.Absent, "they belong to the source: init makes them")],
        [], [], planned.Plan.Bytes, planned.ExpectedSeconds, 0, new Dictionary<string, double>(), null);

    async Task GiveUpAsync(TargetDatabase target, RestoreOptions options)
    {
        if (!target.Created || options.KeepPartial)
        {
            log.PartialKept(target.Name);
            return;
        }
        await target.DropAsync(CancellationToken.None);
        log.PartialDropped(target.Name);
    }
}
