using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The publication: all tables, or the chosen ones with their row filters. Where updates and deletes have a publication of their
/// own (<see cref="ChangesPlan"/>), this one holds inserts and truncates.</summary>
static class PublicationPlan
{
    static string Publishes(SourceFacts facts) =>
        $"publish = '{(ChangesPlan.Applies(facts.Server.Major) ? "insert, truncate" : "insert, update, delete, truncate")}', publish_via_partition_root = false";

    public static IEnumerable<SetupStep> Steps(SourceFacts facts, SetupOptions options, ProtectedScope scope)
    {
        var name = SqlText.Identifier(SetupPlanner.PublicationName(facts, options));
        var there = facts.Setup.Publication;
        var steps = new List<SetupStep>();
        if (Changed(facts.Setup) is { } changed && facts.Setup.Slot is { } slot)
        {
            if (slot.Active)
                throw new RefusedException($"{changed}, and replication slot {slot.Name} is in use", "Stop the running capture first.");
            // What was written meanwhile may be missing from the stream, and decoding it fails where there was no publication.
            steps.Add(new SetupStep(SetupPhase.Publication, $"{Capitalised(changed)}: the slot's WAL is of no use any more. A new one is made: a gap, then new bases.",
                [SlotPlan.DropStatement(slot.Name)]));
        }
        steps.AddRange(ChangesPlan.Steps(facts, options, scope));
        if (there is null)
            return [.. steps, .. Create(facts, name, scope)];
        if (there.AllTables != scope.AllTables)
            return [.. steps, Replace(facts, name, scope), .. ChangesPlan.Leaving(facts, options, scope)];
        var changes = !ChangesPlan.Applies(facts.Server.Major);
        if (!there.Insert || there.Update != changes || there.Delete != changes || !there.Truncate || there.ViaRoot || there.GeneratedColumns)
            steps.Add(Simple("The publication is not of what it should be, or says it under another table's name.",
                $"ALTER PUBLICATION {name} SET ({Publishes(facts)}{(facts.Server.Major >= 18 ? ", publish_generated_columns = none" : "")})"));
        foreach (var schema in there.Schemas)
            steps.Add(Simple($"Schema {schema} was added by somebody else.",
                $"ALTER PUBLICATION {name} DROP TABLES IN SCHEMA {SqlText.Identifier(schema)}"));
        if (!scope.AllTables)
            steps.AddRange(Differences(facts, name, there, scope));
        steps.AddRange(ChangesPlan.Leaving(facts, options, scope));
        if (steps.All(step => step.Statements.Count == 1) && facts.Setup.PublicationState is { } now && facts.Setup.Setting("publicationState") != now)
            steps.Add(Simple("What the publication is now, so that 'check' sees when somebody changes it."));
        return steps;
    }

    /// <summary>In words, how the publication differs from what init left; null when it does not.</summary>
    public static string? Changed(SetupFacts setup) =>
        setup.Setting("publicationState") is not { } left ? null
        : setup.Publication is null || (setup.Setting("changesPublication") is not null && setup.Changes is null) ? "the publication was dropped"
        : setup.PublicationState is { } now && now != left ? "the publication was changed by somebody else" : null;

    static string Capitalised(string text) => $"{char.ToUpperInvariant(text[0])}{text[1..]}";

    /// <summary>The tables to be listed, with their filters: a partitioned table when it is chosen with all its partitions, else the partitions.</summary>
    public static IReadOnlyList<(TableFacts Table, string? Predicate)> Wanted(SourceFacts facts, ProtectedScope scope)
    {
        var chosen = facts.Tables.Where(table => table.Persistence == 'p' && scope.Chooses(table)).ToDictionary(table => table.Oid);
        var children = facts.Tables.Where(table => table.Parent != 0).ToLookup(table => table.Parent);
        bool Whole(TableFacts table) => chosen.ContainsKey(table.Oid) && children[table.Oid].All(Whole);
        bool UnderWhole(TableFacts table) =>
            chosen.TryGetValue(table.Parent, out var parent) && (Whole(parent) || UnderWhole(parent));
        return [.. chosen.Values.Where(table => (table.Kind == 'r' || Whole(table)) && !UnderWhole(table))
            .Select(table => (table, scope.PredicateOf(table)))];
    }

    static IEnumerable<SetupStep> Create(SourceFacts facts, string name, ProtectedScope scope)
    {
        if (scope.AllTables)
        {
            yield return Simple("All tables, also those that come later. Truncate included; every partition under its own name.",
                $"CREATE PUBLICATION {name} FOR ALL TABLES WITH ({Publishes(facts)})");
            yield break;
        }
        yield return Simple("The chosen tables are added one by one. Truncate included; every partition under its own name.",
            $"CREATE PUBLICATION {name} WITH ({Publishes(facts)})");
        foreach (var (table, predicate) in Wanted(facts, scope))
            yield return Add(facts, name, table, predicate);
    }

    /// <summary>In one transaction, so that no position of the WAL is without a publication. The choice is stored with it: our event trigger reads it.</summary>
    static SetupStep Replace(SourceFacts facts, string name, ProtectedScope scope)
    {
        var wanted = Wanted(facts, scope);
        var list = string.Join(", ", wanted.Select(choice => $"ONLY {choice.Table.Sql}{Where(choice.Predicate)}"));
        List<string> statements = [];
        if (!scope.AllTables && wanted.Count > 0)
            statements.Add($"LOCK TABLE {string.Join(", ", wanted.Select(choice => $"ONLY {choice.Table.Sql}"))} IN SHARE UPDATE EXCLUSIVE MODE NOWAIT");
        // No row may change between the two: decoding it would look for the publication and find none, for ever.
        statements.Add(SetupPlanner.SettingsUpsert(scope.Settings()));
        statements.Add($"DROP PUBLICATION {name}");
        statements.Add(scope.AllTables ? $"CREATE PUBLICATION {name} FOR ALL TABLES WITH ({Publishes(facts)})"
            : wanted.Count == 0 ? $"CREATE PUBLICATION {name} WITH ({Publishes(facts)})"
            : $"CREATE PUBLICATION {name} FOR TABLE {list} WITH ({Publishes(facts)})");
        statements.Add(Record);
        return SetupStep.Transaction(SetupPhase.Publication,
            scope.AllTables ? "From chosen tables to all." : "From all tables to the chosen ones.", statements, locks: true);
    }

    static IEnumerable<SetupStep> Differences(SourceFacts facts, string name, PublicationFacts there, ProtectedScope scope)
    {
        var wanted = Wanted(facts, scope).ToDictionary(choice => choice.Table.Oid);
        var filtersAsked = scope.Settings().Single(pair => pair.Key == "rows").Value;
        var sameFilters = facts.Setup.Setting("rows") == filtersAsked;
        foreach (var (table, predicate) in wanted.Values)
        {
            var published = there.Find(table.Oid);
            if (published is null)
                yield return Add(facts, name, table, predicate);
            else if (published.ColumnList || (published.RowFilter is null) != (predicate is null) || (predicate is not null && !sameFilters))
                yield return Locked(facts, [table], $"Another row filter for {table.FullName}: it is read again.",
                    $"ALTER PUBLICATION {name} DROP TABLE ONLY {table.Sql}", $"ALTER PUBLICATION {name} ADD TABLE ONLY {table.Sql}{Where(predicate)}");
        }
        foreach (var published in there.Tables.Where(published => !wanted.ContainsKey(published.Oid)))
            if (facts.Tables.FirstOrDefault(table => table.Oid == published.Oid) is { } gone)
                yield return Locked(facts, [gone], $"{gone.FullName} is no longer chosen: its coverage ends here.",
                    $"ALTER PUBLICATION {name} DROP TABLE ONLY {gone.Sql}");
        var changed = scope.Settings().Where(pair => facts.Setup.Setting(pair.Key) != pair.Value).ToList();
        if (changed.Count > 0)
            yield return Simple("The choice, for the next time.", SetupPlanner.SettingsUpsert(changed));
    }

    static SetupStep Add(SourceFacts facts, string name, TableFacts table, string? predicate) =>
        Locked(facts, [table], predicate is null ? $"{table.FullName} is chosen." : $"{table.FullName} is chosen, the rows with {predicate}.",
            $"ALTER PUBLICATION {name} ADD TABLE ONLY {table.Sql}{Where(predicate)}");

    public static string Where(string? predicate) => predicate is null ? "" : $" WHERE ({predicate})";

    /// <summary>In the same transaction as the change: what differs from it is not ours.</summary>
    const string Record = "INSERT INTO crmbackup.settings (key, value) VALUES ('publicationState', crmbackup.publication_state())"
        + " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value";

    public static SetupStep Simple(string why, params string[] statements) =>
        SetupStep.Transaction(SetupPhase.Publication, why, [.. statements, Record]);

    /// <summary>With a slot, writers are held off for that moment: servers before the fixes of 2025 could lose what was in flight.</summary>
    public static SetupStep Locked(SourceFacts facts, IReadOnlyList<TableFacts> tables, string why, params string[] statements) =>
        SetupStep.Transaction(SetupPhase.Publication, why,
        [
            $"LOCK TABLE {string.Join(", ", tables.Select(table => $"ONLY {table.Sql}"))} IN {(facts.Setup.Slot is null ? "SHARE UPDATE EXCLUSIVE" : "SHARE ROW EXCLUSIVE")} MODE NOWAIT",
            .. statements,
            Record,
        ], locks: true);
}
