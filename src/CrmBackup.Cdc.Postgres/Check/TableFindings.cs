namespace CrmBackup.Cdc.Postgres;

/// <summary>What of the tables and other objects would not be protected, or only in part; and what would harm the CRM.</summary>
static class TableFindings
{
    const int NamesMax = 10;

    public static IEnumerable<Finding> Of(SourceFacts facts, ProtectedScope scope)
    {
        var chosen = facts.Tables.Where(table => table.Logged && scope.Chooses(table)).ToList();
        return Identity(facts, chosen).Concat(Full(chosen)).Concat(Access(facts, chosen)).Concat(Choice(facts, scope)).Concat(Objects(facts)).Concat(Locks(facts));
    }

    static IEnumerable<Finding> Identity(SourceFacts facts, List<TableFacts> chosen)
    {
        foreach (var table in chosen.Where(table => !table.HasIdentity))
        {
            var published = (facts.Setup.Changes ?? facts.Setup.Publication) is { Update: true } publication
                && (publication.AllTables || publication.Find(table.Oid) is not null || publication.Find(table.Parent) is not null);
            yield return new Finding("no-identity", Severity.Unsafe,
                $"table {table.FullName} has no {(table.Identity == 'n' ? "replica identity (NOTHING)" : "key")}",
                published ? "The CRM's UPDATE and DELETE on it fail, because they are published."
                    : $"Its UPDATE and DELETE could not be published. {IdentityPlan.Cost(table)}.",
                facts.Setup.Settings is null ? [Remedy.Init]
                    : SetupFindings.Statements(IdentityPlan.Step(table)));
        }
    }

    static IEnumerable<Finding> Full(List<TableFacts> chosen)
    {
        if (chosen.Where(table => table.Identity == 'f' && table.ToastBytes > 0).ToList() is { Count: > 0 } full)
            yield return new Finding("identity-full", Severity.Info, $"replica identity FULL and values out of line: {Names(full)}",
                "Each update and delete writes the whole old row to the WAL, and a row of more than 1 GB can be neither changed nor deleted. A primary key makes it unnecessary.", []);
    }

    static IEnumerable<Finding> Access(SourceFacts facts, List<TableFacts> chosen)
    {
        var user = SqlText.Identifier(facts.Server.User);
        var hidden = chosen.Where(table => table.HiddenRows).ToList();
        if (hidden.Count > 0)
            yield return new Finding("row-security", Severity.Unsafe,
                $"row-level security hides rows of {Names(hidden)} from role {facts.Server.User}",
                "A base would miss them; with row_security off it fails instead.", [Remedy.Sql($"ALTER ROLE {user} BYPASSRLS")]);
        var unreadable = chosen.Where(table => !table.Readable).ToList();
        if (unreadable.Count > 0)
            yield return new Finding("not-readable", Severity.Unsafe, $"role {facts.Server.User} may not read {Names(unreadable)}",
                "Their bases cannot be read.", [Remedy.Sql($"GRANT pg_read_all_data TO {user}")]);
    }

    static IEnumerable<Finding> Choice(SourceFacts facts, ProtectedScope scope)
    {
        var left = facts.Tables.Where(table => table.Logged && !scope.Chooses(table)).ToList();
        if (left.Count > 0)
            yield return new Finding("not-chosen", Severity.Reduced, $"{left.Count} tables are not chosen: {Names(left)}",
                "Their rows are not in the backup.", []);
        foreach (var row in scope.Rows)
            yield return new Finding("row-filter", Severity.Reduced, $"of {row.Table} only rows with {row.Predicate} are chosen",
                "The others are not in the backup, and a row that leaves the choice ends there.", []);
    }

    static IEnumerable<Finding> Objects(SourceFacts facts)
    {
        if (facts.Tables.Where(table => table.Triggered).ToList() is { Count: > 0 } triggered)
            yield return new Finding("changes-by-trigger", Severity.Info, $"a trigger of ours tells the updates and deletes of {Names(triggered)}",
                "They have no key and a generated column, and PostgreSQL does not let their updates be published. A primary key makes it unnecessary.", []);
        foreach (var found in facts.OtherObjects)
        {
            var (severity, why) = found.Kind switch
            {
                "unlogged tables" => (Severity.Reduced, "Their rows do not pass the WAL: only their structure is in the backup."),
                "foreign tables" => (Severity.Reduced, "Their rows are elsewhere: only their definition is in the backup."),
                "large objects" => (Severity.Reduced, "Logical decoding does not carry them: they are not in the backup."),
                "reg* columns" => (Severity.Reduced, "They name objects: a restore finds them by name, and fails for names that are gone."),
                "materialized views" => (Severity.Info, "Their definition is in the backup; a restore refreshes them."),
                "generated columns" => (Severity.Info, "A restore computes them again."),
                _ => (Severity.Info, "Exact at marks; between them never behind the rows."),
            };
            yield return new Finding(found.Kind.Replace(" ", "-", StringComparison.Ordinal).Replace("*", "", StringComparison.Ordinal),
                severity, $"{found.Count} {found.Kind}: {string.Join(", ", found.Examples)}{(found.Count > found.Examples.Count ? ", …" : "")}", why, []);
        }
    }

    static IEnumerable<Finding> Locks(SourceFacts facts)
    {
        var relations = facts.Tables.Count + facts.OtherObjects.Where(found => found.Kind is "sequences" or "foreign tables" or "materialized views").Sum(found => found.Count);
        var needed = relations * 3 / 2;
        if (needed > facts.Server.LockTableSize)
            yield return new Finding("lock-table", Severity.Unsafe, $"the lock table has room for {facts.Server.LockTableSize} locks, a schema dump of {relations} relations needs about {needed}",
                "The schema would not be in the backup: dumping it could make the CRM's statements fail.",
                [
                    Remedy.Sql($"ALTER SYSTEM SET max_locks_per_transaction = {(needed / Math.Max(1, facts.Server.LockTableSize / facts.Server.Number("max_locks_per_transaction"))) + 64}"),
                    Remedy.Restart,
                ]);
    }

    static string Names(List<TableFacts> tables) =>
        string.Join(", ", tables.Take(NamesMax).Select(table => table.FullName))
        + (tables.Count > NamesMax ? $" and {tables.Count - NamesMax} more" : "");
}
