using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>Removes what keeps rows out of a table of the target; true when it did.</summary>
delegate Task<bool> GiveWay(TargetDatabase target, (string Schema, string Name) into, PostgresException failure, CancellationToken stop);

/// <summary>The schema's two halves, before and after the rows.</summary>
/// <param name="units">The dump folded with what was described since; null: the dump as it is.</param>
/// <param name="exact">Of the target's moment, as far as the vault can tell.</param>
/// <param name="chosen">Only some tables get rows.</param>
sealed class TargetSchema(
    VaultState state, RestorePlan plan, IReadOnlyDictionary<string, byte[]> files, SchemaUnits? units, bool exact, bool chosen,
    IProgress<RestoreProgress>? progress)
{
    IReadOnlyList<SchemaEntry> _late = [];
    /// <summary>Why a schema that was put together from definitions is not exact after all.</summary>
    string? _doubt;
    readonly List<RestoreViolation> _violations = [];
    readonly List<string> _notes = [];
    readonly List<(string Statement, bool Whole)> _again = [];

    /// <summary>Dumped at the target's very moment: nothing needs to be fitted.</summary>
    bool IsExact => exact && units is null;

    public IReadOnlyList<RestoreViolation> Violations => _violations;

    public IReadOnlyList<string> Notes => _notes;

    /// <summary>Reads the dump; every file is proven against the manifest that a commit names.</summary>
    public static async Task<TargetSchema> ReadAsync(
        BackupVault vault, RestorePlan plan, bool chosen, IProgress<RestoreProgress>? progress, CancellationToken stop)
    {
        var files = plan.Schema is { } schema
            ? await new SchemaStore(vault.Medium).ReadAsync(schema.Version.Hash, stop) : new Dictionary<string, byte[]>();
        var units = plan.Schema is { Described: true, Version.DescribedFrom: { } from } && SchemaUnits.Of(files) is { } dumped
            ? SentDefinitions.Fold(vault, dumped, from, plan.At) : null;
        return new TargetSchema(vault.State, plan, files, units, plan.Schema is { Exact: true } exact && (!exact.Described || units is not null),
            chosen, progress);
    }

    /// <summary>What the restore has shown of the plan's word: definitions that the target did not take, or that did not take the rows, are
    /// not exact.</summary>
    public IReadOnlyList<FidelityLine> Fidelity(IReadOnlyList<FidelityLine> planned) =>
        (_doubt ?? (plan.Schema is { Exact: true } && !exact ? "a command between the dump and the target was not described" : null)) is { } why
            ? [.. planned.Select(line => line.What.StartsWith("schema, ", StringComparison.Ordinal)
                ? line with { Fidelity = Core.Fidelity.Approximate, Why = $"put together from definitions, and {why}" } : line)]
            : planned;

    public async Task BeforeRowsAsync(TargetDatabase target, CancellationToken stop)
    {
        if (units is null)
            await RunAsync(target, "pre-data.sql", RestorePhase.Schema, stop);
        else
            // Pre-data that waits for post-data, as a view that groups by a key, comes with it.
            _late = (await RunAsync(target, units.Entries(post: false), RestorePhase.Schema, stop)).Left;
        await using (var filled = await target.OpenAsync(stop))
            await TargetFinish.EmptyExtensionTablesAsync(filled, [.. plan.Relations.Select(relation => relation.Shape)], stop);
        if (IsExact)
            return;
        // The rows are exact whatever the dump's moment: tables are made to take them.
        var live = plan.Relations.Select(relation => relation.Shape).ToList();
        var names = live.Select(shape => shape.FullName).ToHashSet();
        // A schema of the target's own moment holds no table too many; a name of then may mean another one now.
        var others = chosen || exact ? [] : state.Relations.Where(shape => !names.Contains(shape.FullName)).DistinctBy(shape => shape.FullName);
        await using var connection = await target.OpenAsync(stop);
        foreach (var statement in await SchemaFit.ApplyAsync(connection, live, others, stop))
        {
            _notes.Add($"fitted to the target's moment: {statement}");
            _doubt ??= "a table did not have the columns of its rows";
        }
    }

    /// <summary>What to do when the target takes no row of a table: its rows are exact, the schema gives way. Of a schema that is the
    /// target's own, that is a violation.</summary>
    /// <returns>Whether something gave way; then the table is loaded again.</returns>
    public async Task<bool> GiveWayAsync(TargetDatabase target, (string Schema, string Name) into, PostgresException failure, CancellationToken stop)
    {
        await using var connection = await target.OpenAsync(stop);
        var remedy = await RowObstacle.RemedyAsync(connection, into.Schema, into.Name, failure, stop);
        var refused = remedy is null ? null : await ScriptRunner.TryAsync(connection, remedy.Statement, stop);
        if (refused is { SqlState: PostgresErrorCodes.InvalidTableDefinition } && await RowObstacle.PartingAsync(connection, into.Schema, into.Name, stop) is { } parting)
            (remedy, refused) = (parting, await ScriptRunner.TryAsync(connection, parting.Statement, stop));
        lock (_notes)
        {
            if (remedy is null || refused is not null)
            {
                _violations.Add(new RestoreViolation($"the rows of {into.Schema}.{into.Name}: none is restored", failure.SqlState,
                    refused is null ? failure.MessageText : $"{failure.MessageText}; {refused.Message}"));
                return false;
            }
            if (remedy.Again is { } again)
                _again.Add((again, remedy.Whole));
            if (remedy is { Whole: true, Again: not null })
                return true;
            if (exact)
                _violations.Add(new RestoreViolation(remedy.Again is null ? remedy.Statement : $"{remedy.Again} (its own rows contradict it)", failure.SqlState, failure.MessageText));
            else
                _notes.Add($"fitted to the rows of {into.Schema}.{into.Name}: {remedy.Statement}");
            if (units is not null)
                _doubt ??= "a table did not take its rows";
        }
        return true;
    }

    /// <summary>A sequence of the target's moment that the schema, being of another, lacks: it is made.</summary>
    public async Task MissesAsync(NpgsqlConnection connection, SequencePlan sequence, CancellationToken stop)
    {
        var name = $"{sequence.State.Schema}.{sequence.State.Name}";
        if (exact)
        {
            _notes.Add($"sequence {name} was sampled and is not in the schema");
            return;
        }
        var owner = plan.Relations.Select(relation => relation.Shape).FirstOrDefault(shape => shape.FullName == sequence.State.OwnedByTable);
        var column = owner?.Columns.FirstOrDefault(column => column.AttNum == sequence.State.OwnedByColumn)?.Name;
        if (await TargetFinish.MakeSequenceAsync(connection, sequence.State, owner, column, stop) is { } failed)
            Add([failed]);
        else if (await TargetFinish.SetSequenceAsync(connection, sequence, stop))
            _notes.Add($"fitted to the target's moment: sequence {name} made");
    }

    public async Task AfterRowsAsync(TargetDatabase target, CancellationToken stop)
    {
        if (units is null)
        {
            await RunAsync(target, "post-data.sql", RestorePhase.Indexes, stop);
        }
        else
        {
            var violations = (await RunAsync(target, [.. _late, .. units.Entries(post: true).Where(entry => !IsEventTrigger(entry))], RestorePhase.Indexes, stop)).Violations;
            Add(violations);
            if (violations.Any(violation => !violation.Minor && !IsIntegrity(violation)))
                _doubt ??= "the target did not take a statement";
        }
        await using var connection = await target.OpenAsync(stop);
        foreach (var (statement, whole) in _again.Distinct())
            if (await ScriptRunner.TryAsync(connection, statement, stop) is { } violation)
            {
                if (exact || !whole)
                    Add([violation]);
                else
                    _notes.Add($"fitted to the rows, text instead of a type of another moment: {statement}: {violation.Message}");
            }
        if (files.TryGetValue(CollationVersions.FileName, out var collations))
            _notes.AddRange(CollationVersions.Parse(collations).DifferencesOf(await CollationVersions.ReadAsync(connection, stop)));
    }

    /// <summary>Last of all: they would fire for what a restore still does.</summary>
    public async Task EventTriggersAsync(TargetDatabase target, CancellationToken stop)
    {
        if (units is null)
            await RunAsync(target, "post-data.sql", RestorePhase.Finish, stop, eventTriggers: true);
        else
            Add((await RunAsync(target, [.. units.Entries(post: true).Where(IsEventTrigger)], RestorePhase.Finish, stop)).Violations);
    }

    static bool IsEventTrigger(SchemaEntry entry) => entry.Kind == "EVENT TRIGGER";

    /// <summary>The rows refuse it: no other object that is still to come changes that.</summary>
    static bool IsIntegrity(ScriptViolation violation) => violation.SqlState.StartsWith("23", StringComparison.Ordinal);

    async Task<(IReadOnlyList<SchemaEntry> Left, IReadOnlyList<ScriptViolation> Violations)> RunAsync(
        TargetDatabase target, IReadOnlyList<SchemaEntry> entries, RestorePhase phase, CancellationToken stop)
    {
        await using var connection = await target.OpenAsync(stop);
        return await new EntryRunner(connection, units!.Preamble).RunAsync(entries, violation => !IsIntegrity(violation),
            (done, total) => progress?.Report(new RestoreProgress(phase, null, done, total)), stop);
    }

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

    async Task RunAsync(TargetDatabase target, string file, RestorePhase phase, CancellationToken stop, bool eventTriggers = false)
    {
        if (!files.TryGetValue(file, out var script))
            return;
        // A connection of its own: the script's settings end with it.
        await using var connection = await target.OpenAsync(stop);
        Add(await ScriptRunner.RunAsync(connection, Encoding.UTF8.GetString(script), eventTriggers,
            (done, total) => progress?.Report(new RestoreProgress(phase, null, done, total)), stop));
    }
}
