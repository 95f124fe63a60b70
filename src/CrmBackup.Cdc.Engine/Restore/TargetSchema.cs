using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>The schema's two halves, before and after the rows.</summary>
/// <param name="chosen">Only some tables get rows.</param>
sealed class TargetSchema(
    VaultState state, RestorePlan plan, IReadOnlyDictionary<string, byte[]> files, bool chosen, IProgress<RestoreProgress>? progress)
{
    readonly List<RestoreViolation> _violations = [];
    readonly List<string> _notes = [];

    public IReadOnlyList<RestoreViolation> Violations => _violations;

    public IReadOnlyList<string> Notes => _notes;

    /// <summary>Reads the dump; every file is proven against the manifest that a commit names.</summary>
    public static async Task<TargetSchema> ReadAsync(
        BackupVault vault, RestorePlan plan, bool chosen, IProgress<RestoreProgress>? progress, CancellationToken stop)
    {
        var files = plan.Schema is { } schema
            ? await new SchemaStore(vault.Medium).ReadAsync(schema.Version.Hash, stop) : new Dictionary<string, byte[]>();
        return new TargetSchema(vault.State, plan, files, chosen, progress);
    }

    public async Task BeforeRowsAsync(TargetDatabase target, CancellationToken stop)
    {
        await RunAsync(target, "pre-data.sql", RestorePhase.Schema, stop);
        if (plan.Schema is { Exact: true })
            return;
        // The rows are exact whatever the dump's moment: tables are made to take them.
        var live = plan.Relations.Select(relation => relation.Shape).ToList();
        var names = live.Select(shape => shape.FullName).ToHashSet();
        var others = chosen ? [] : state.Relations.Where(shape => !names.Contains(shape.FullName)).DistinctBy(shape => shape.FullName);
        await using var connection = await target.OpenAsync(stop);
        foreach (var statement in await SchemaFit.ApplyAsync(connection, live, others, stop))
            _notes.Add($"fitted to the target's moment: {statement}");
    }

    public Task AfterRowsAsync(TargetDatabase target, CancellationToken stop) =>
        RunAsync(target, "post-data.sql", RestorePhase.Indexes, stop);

    public void Add(IEnumerable<ScriptViolation> violations)
    {
        foreach (var violation in violations)
            if (violation.Minor)
                _notes.Add($"not taken by the target: {violation.Statement.ReplaceLineEndings(" ")}: {violation.Message}");
            else if (chosen && violation.SqlState == "23503")
                _notes.Add($"left out, its other table was not restored: {violation.Statement.ReplaceLineEndings(" ")}");
            else
                _violations.Add(new RestoreViolation(violation.Statement, violation.SqlState, violation.Message));
    }

    async Task RunAsync(TargetDatabase target, string file, RestorePhase phase, CancellationToken stop)
    {
        if (!files.TryGetValue(file, out var script))
            return;
        // A connection of its own: the script's settings end with it.
        await using var connection = await target.OpenAsync(stop);
        Add(await ScriptRunner.RunAsync(connection, Encoding.UTF8.GetString(script),
            (done, total) => progress?.Report(new RestoreProgress(phase, null, done, total)), stop));
    }
}
