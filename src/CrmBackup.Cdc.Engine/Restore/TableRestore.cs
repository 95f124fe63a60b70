using System.Globalization;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Npgsql;

namespace CrmBackup.Cdc.Engine;

/// <summary>Chosen tables into an existing database: beside the ones that are there, or (<c>--replace</c>) in their place.</summary>
sealed class TableRestore(BackupVault vault, TimeProvider clock, RestoreOptions options, PhaseWatch watch)
{
    /// <summary>PostgreSQL cuts longer names off.</summary>
    const int NameBytesMax = 63;

    public async Task<RestoreReport> RunAsync(PlannedRestore planned, TargetDatabase target, RestoreReport report, CancellationToken stop)
    {
        watch.Begin(RestorePhase.Prepare);
        var suffix = clock.GetUtcNow().ToString("'_restored_'yyyyMMdd'_'HHmmss", CultureInfo.InvariantCulture);
        var names = new Dictionary<int, (string Schema, string Name)>();
        (string Schema, string Name) Beside(RelationShape shape) => names[shape.Number];
        var made = new List<(string Schema, string Name)>();
        try
        {
            await using (var connection = await target.OpenAsync(stop))
                foreach (var shape in planned.Plan.Relations.Select(relation => relation.Shape))
                {
                    var name = await FreeNameAsync(connection, shape, suffix, stop);
                    await MakeAsync(connection, shape, name, stop);
                    made.Add(names[shape.Number] = name);
                }
            watch.Begin(RestorePhase.Load);
            var loaded = await new TableLoading(vault, options, watch.Progress).RunAsync(planned, target, Beside, stop);
            watch.Begin(RestorePhase.Indexes);
            string[] notes = options.Replace ? [] : ["tables beside the existing ones have their columns and key, nothing else", .. await GenerateAsync(target, loaded, stop)];
            await KeyAsync(target, loaded, stop);
            var tables = await Restorer.ProveAsync(options, target, loaded, watch, stop);
            var verified = options.Verify ? tables.All(table => table.Verified == true) : (bool?)null;
            if (options.Replace && verified != false)
            {
                watch.Begin(RestorePhase.Swap);
                await using var connection = await target.OpenAsync(stop);
                await TableReplacement.RunAsync(connection, loaded, byKey: options.Where.Count > 0, stop);
                tables = [.. tables.Select(table => table with { RestoredAs = table.Table })];
            }
            return report with
            {
                Tables = tables,
                Fidelity = Lines(),
                Notes = notes,
                Verified = verified,
                Seconds = watch.Total,
                PhaseSeconds = watch.Seconds,
            };
        }
        catch (Exception) when (!options.KeepPartial)
        {
            await DropAsync(target, made);
            throw;
        }
    }

    IReadOnlyList<FidelityLine> Lines() =>
    [
        new FidelityLine(options.Where.Count > 0 ? "the chosen rows" : "rows of the chosen tables", Fidelity.Exact),
        new FidelityLine("everything else", Fidelity.Absent, "only tables were asked for"),
    ];

    /// <summary>Two restores may fall into one second, and two long names may be cut to the same.</summary>
    static async Task<(string Schema, string Name)> FreeNameAsync(
        NpgsqlConnection connection, RelationShape shape, string suffix, CancellationToken stop)
    {
        for (var number = 1; ; number++)
        {
            var ending = number == 1 ? suffix : $"{suffix}_{number}";
            var name = Cut(shape.Name, NameBytesMax - ending.Length) + ending;
            await using var command = new NpgsqlCommand("SELECT to_regclass($1) IS NULL", connection)
            {
                Parameters = { new() { Value = SqlText.Qualified(shape.Schema, name) } },
            };
            if (await command.ExecuteScalarAsync(stop) is true)
                return (shape.Schema, name);
        }
    }

    /// <summary>From the shape at the target: the existing table may have changed since.</summary>
    static async Task MakeAsync(NpgsqlConnection connection, RelationShape shape, (string Schema, string Name) name, CancellationToken stop)
    {
        var columns = shape.Columns.Select(column => $"{SqlText.Identifier(column.Name)} {column.TypeName}");
        var statement = $"CREATE TABLE {SqlText.Qualified(name.Schema, name.Name)} ({string.Join(", ", columns)})";
        if (await ScriptRunner.TryAsync(connection, statement, stop) is { } violation)
            throw new RefusedException($"the table {name.Schema}.{name.Name} cannot be made: {violation.Message}",
                "The database must have the schema and the types of the restored moment; restore into a new database otherwise.");
    }

    /// <summary>Generated columns are no part of a row: they are computed as the existing table has them now.</summary>
    /// <returns>Why some are left out.</returns>
    static async Task<IReadOnlyList<string>> GenerateAsync(TargetDatabase target, IReadOnlyList<LoadedTable> loaded, CancellationToken stop)
    {
        var notes = new List<string>();
        await using var connection = await target.OpenAsync(stop);
        foreach (var (plan, into, _) in loaded)
        {
            var beside = (SqlText.Qualified(into.Schema, into.Name), plan.Shape.Columns.Select(column => column.Name).ToArray());
            if (await GeneratedColumns.AddingAsync(connection, SqlText.Qualified(plan.Shape.Schema, plan.Shape.Name), beside, stop) is { } statement
                && await ScriptRunner.TryAsync(connection, statement, stop) is { } violation)
                notes.Add($"the generated columns of {plan.Shape.FullName} are left out: {violation.Message}");
        }
        return notes;
    }

    static async Task KeyAsync(TargetDatabase target, IReadOnlyList<LoadedTable> loaded, CancellationToken stop)
    {
        await using var connection = await target.OpenAsync(stop);
        foreach (var table in loaded.Where(table => table.Plan.Shape.HasKey))
        {
            var key = table.Plan.Shape.Columns.Where(column => column.IsKey).Select(column => SqlText.Identifier(column.Name));
            await ScriptRunner.ExecuteAsync(connection,
                $"ALTER TABLE {SqlText.Qualified(table.Into.Schema, table.Into.Name)} ADD PRIMARY KEY ({string.Join(", ", key)})", stop);
            await ScriptRunner.ExecuteAsync(connection, $"ANALYZE {SqlText.Qualified(table.Into.Schema, table.Into.Name)}", stop);
        }
    }

    static async Task DropAsync(TargetDatabase target, List<(string Schema, string Name)> made)
    {
        await using var connection = await target.OpenAsync(CancellationToken.None);
        foreach (var (schema, name) in made)
            await ScriptRunner.ExecuteAsync(connection, $"DROP TABLE IF EXISTS {SqlText.Qualified(schema, name)}", CancellationToken.None);
    }

    static string Cut(string name, int bytes)
    {
        while (System.Text.Encoding.UTF8.GetByteCount(name) > bytes)
            name = name[..^(char.IsLowSurrogate(name[^1]) ? 2 : 1)];
        return name;
    }
}
