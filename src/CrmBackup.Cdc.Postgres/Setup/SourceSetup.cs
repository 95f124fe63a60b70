using System.Globalization;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary><c>init</c>: prepares the source, and takes everything away again. Idempotent; a run that was cut off goes on.</summary>
public sealed class SourceSetup(TimeProvider clock)
{
    /// <summary>Between two tries for a lock: long enough for the CRM's statement to go by, short for a person who waits.</summary>
    static readonly TimeSpan _lockPause = TimeSpan.FromMilliseconds(200);

    /// <summary>What is still to be done. Changes nothing.</summary>
    /// <exception cref="RefusedException">Unsafe: nothing may be done.</exception>
    public static async Task<SetupPlan> PlanAsync(NpgsqlConnection connection, SetupOptions options, CancellationToken stop)
    {
        var facts = await FactsReader.ReadAsync(connection, stop, options.Slot, options.Publication, options.Role);
        var scope = ProtectedScope.Of(options, facts.Setup);
        var filtersNeedFull = await RowFilters.CheckAsync(connection, facts, scope, stop);
        return SetupPlanner.Plan(facts, options, filtersNeedFull);
    }

    /// <summary>Everything of ours that stands in the source, undone.</summary>
    public static async Task<SetupPlan> PlanRemovalAsync(NpgsqlConnection connection, SetupOptions options, CancellationToken stop) =>
        RemovalPlan.Plan(await FactsReader.ReadAsync(connection, stop, options.Slot, options.Publication, options.Role), options);

    /// <summary>Runs the plan phase by phase, looking again after each: what the CRM created meanwhile is not left out.</summary>
    /// <param name="before">Called with each step just before it runs.</param>
    public async Task ApplyAsync(
        NpgsqlConnection connection, SetupOptions options, Action<SetupStep>? before, CancellationToken stop)
    {
        // Each round does at least one step; a source that always has another one to do is not understood.
        for (var round = 0; round < 50; round++)
        {
            var plan = await PlanAsync(connection, options, stop);
            if (plan.Steps.Count == 0)
                return;
            var phase = plan.Steps[0].Phase;
            foreach (var step in plan.Steps.TakeWhile(step => step.Phase == phase))
                await RunAsync(connection, step, options.LockPatience, before, stop);
        }
        throw new RefusedException("the source changes faster than it can be set up", "Run init again when no schema change is being made.");
    }

    public async Task RemoveAsync(NpgsqlConnection connection, SetupOptions options, Action<SetupStep>? before, CancellationToken stop)
    {
        foreach (var step in (await PlanRemovalAsync(connection, options, stop)).Steps)
            await RunAsync(connection, step, options.LockPatience, before, stop);
    }

    async Task RunAsync(
        NpgsqlConnection connection, SetupStep step, TimeSpan patience, Action<SetupStep>? before, CancellationToken stop)
    {
        before?.Invoke(step);
        var since = clock.GetTimestamp();
        while (true)
        {
            try
            {
                foreach (var statement in step.Statements)
                    await ExecuteAsync(connection, statement, stop);
                return;
            }
            catch (PostgresException failure)
            {
                if (step.Statements[0] == "BEGIN")
                    await ExecuteAsync(connection, "ROLLBACK", CancellationToken.None);
                if (!step.Locks || failure.SqlState != PostgresErrorCodes.LockNotAvailable)
                    throw InWords(failure, step);
                if (clock.GetElapsedTime(since) > patience)
                    throw new RefusedException(
                        string.Create(CultureInfo.InvariantCulture, $"a lock was not to be had for {patience.TotalSeconds:0} s: {failure.MessageText}"),
                        "Run init again when the table is quieter; what is done stays done.");
            }
            await Task.Delay(_lockPause, clock, stop);
        }
    }

    static BackupException InWords(PostgresException failure, SetupStep step) => failure.SqlState switch
    {
        PostgresErrorCodes.InsufficientPrivilege => new RefusedException(
            $"{failure.MessageText} ({step.Why})", "Run init as superuser, or have a DBA run what 'crmbackup init --dry-run' prints."),
        _ => new BackupException($"set-up failed: {failure.MessageText} ({failure.SqlState})",
            $"Nothing of this step was kept: {step.Why}", ExitCode.Failed, failure),
    };

    static async Task ExecuteAsync(NpgsqlConnection connection, string statement, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(statement, connection);
        await command.ExecuteNonQueryAsync(stop);
    }
}
