using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Makes the objects of a folded schema. Nothing says which needs which: what cannot be made yet is tried again after the others,
/// until a pass makes nothing more.</summary>
public sealed class EntryRunner(NpgsqlConnection connection, IReadOnlyList<string> preamble)
{
    sealed class Work(SchemaEntry entry)
    {
        public SchemaEntry Entry => entry;
        public List<string> Left { get; set; } = [.. entry.Statements];
        public List<ScriptViolation> Violations { get; } = [];
    }

    string? _tablespace;
    string? _method;

    /// <param name="again">Whether a failure may pass away once other objects are there.</param>
    /// <returns>What is left over, with the reasons.</returns>
    public async Task<(IReadOnlyList<SchemaEntry> Left, IReadOnlyList<ScriptViolation> Violations)> RunAsync(
        IEnumerable<SchemaEntry> entries, Func<ScriptViolation, bool> again, Action<int, int>? progress, CancellationToken stop)
    {
        foreach (var setting in preamble)
            // A pg_dump newer than the target sets what that one does not know; nothing of it decides what a statement makes.
            if (await ScriptRunner.TryAsync(connection, setting, stop) is { Minor: false } refused)
                throw new BackupException($"the target does not take {refused.Statement}: {refused.Message}", "Restore into a server of the source's major version or a newer one.");
        await ScriptRunner.ExecuteAsync(connection, "SET check_function_bodies = false", stop);
        var waiting = entries.Select(entry => new Work(entry)).ToList();
        var total = waiting.Sum(one => one.Left.Count);
        var left = total;
        var final = new List<ScriptViolation>();
        int before;
        do
        {
            before = left;
            foreach (var one in waiting)
            {
                left -= one.Left.Count;
                await TryAsync(one, again, final, stop);
                left += one.Left.Count;
                progress?.Invoke(total - left, total);
            }
            waiting = [.. waiting.Where(one => one.Left.Count > 0)];
        }
        while (left > 0 && left < before);
        return ([.. waiting.Select(one => one.Entry with { Statements = one.Left })], [.. final, .. waiting.SelectMany(one => one.Violations)]);
    }

    async Task TryAsync(Work one, Func<ScriptViolation, bool> again, List<ScriptViolation> final, CancellationToken stop)
    {
        await SettingsAsync(one.Entry, stop);
        one.Violations.Clear();
        var left = new List<string>();
        foreach (var (number, statement) in one.Left.Index())
        {
            // Before the object itself is there, nothing can be said of it.
            if (number > 0 && left.Count > 0 && ReferenceEquals(left[0], one.Entry.Statements[0]))
            {
                left.Add(statement);
                continue;
            }
            if (await ScriptRunner.TryAsync(connection, statement, stop) is not { } violation)
                continue;
            if (!again(violation))
            {
                final.Add(violation);
                continue;
            }
            left.Add(statement);
            one.Violations.Add(violation);
        }
        one.Left = left;
    }

    async Task SettingsAsync(SchemaEntry entry, CancellationToken stop)
    {
        if (entry.Tablespace != _tablespace)
            await ScriptRunner.TryAsync(connection, $"SET default_tablespace = {entry.Tablespace ?? "''"}", stop);
        _tablespace = entry.Tablespace;
        if (entry.Method is { } method && method != _method)
            await ScriptRunner.TryAsync(connection, $"SET default_table_access_method = {method}", stop);
        _method = entry.Method ?? _method;
    }
}
