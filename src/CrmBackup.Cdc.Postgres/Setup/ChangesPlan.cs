using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The second publication, of updates and deletes, table by table (rule 16). A table in it needs an identity that PostgreSQL can
/// publish, or the CRM's UPDATE fails; one that has none is left out, and a trigger tells its changes. Inserts and truncates of all tables are
/// in the first publication, which makes no statement fail.</summary>
static class ChangesPlan
{
    const string Publishes = "publish = 'update, delete', publish_via_partition_root = false";
    /// <summary>Tables locked together: few enough that one which is busy holds up few others.</summary>
    const int Batch = 20;

    /// <summary>18 lets no generated column be part of an identity unless it is published, and a virtual one never is.</summary>
    public static bool Applies(int major) => major >= 18;

    /// <summary>Null where one publication holds everything.</summary>
    public static string? NameOf(SourceFacts facts, SetupOptions options) =>
        facts.Setup.Setting("changesPublication") is { } known ? known
        : Applies(facts.Server.Major) ? $"{SetupPlanner.PublicationName(facts, options)}_changes" : null;

    /// <summary>Tables are listed before the first publication leaves their updates out.</summary>
    public static IEnumerable<SetupStep> Steps(SourceFacts facts, SetupOptions options, ProtectedScope scope)
    {
        if (NameOf(facts, options) is not { } plain)
            yield break;
        var name = SqlText.Identifier(plain);
        var there = facts.Setup.Changes;
        if (there is null)
            yield return PublicationPlan.Simple("Updates and deletes have a publication of their own: it lists the tables for which they cannot fail.",
                $"CREATE PUBLICATION {name} WITH ({Publishes})");
        else if (there.AllTables)
            yield return PublicationPlan.Simple("It would make an UPDATE fail.", $"DROP PUBLICATION {name}", $"CREATE PUBLICATION {name} WITH ({Publishes})");
        else if (there.Insert || !there.Update || !there.Delete || there.Truncate || there.ViaRoot || there.GeneratedColumns)
            yield return PublicationPlan.Simple("The publication of updates and deletes is for these alone.",
                $"ALTER PUBLICATION {name} SET ({Publishes}, publish_generated_columns = none)");
        foreach (var schema in there?.Schemas ?? [])
            yield return PublicationPlan.Simple($"Schema {schema} was added by somebody else.",
                $"ALTER PUBLICATION {name} DROP TABLES IN SCHEMA {SqlText.Identifier(schema)}");
        var listed = there is { AllTables: false } ? there.Tables.ToDictionary(table => table.Oid) : [];
        var chosen = facts.Tables.Where(table => table.Logged && scope.Chooses(table)).ToList();
        foreach (var step in Unlist(facts, name, scope, listed, chosen).ToList().Concat(List(facts, name, scope, listed, chosen)).Concat(Triggers(facts, scope, chosen)))
            yield return step;
    }

    /// <summary>Its UPDATE can be published, once it has the identity that it lacks (<see cref="IdentityPlan"/>): by a key, or by the whole row
    /// when no column of it is generated.</summary>
    static bool Publishable(TableFacts table) =>
        !table.Generated || (table.HasIdentity ? table.Identity != 'f' : table.CandidateIndex is not null);

    /// <summary>Those that are no longer chosen, when the first publication has let them go.</summary>
    public static IEnumerable<SetupStep> Leaving(SourceFacts facts, SetupOptions options, ProtectedScope scope)
    {
        if (NameOf(facts, options) is not { } name || facts.Setup.Changes is not { } there)
            yield break;
        foreach (var table in facts.Tables.Where(table => !(table.Logged && scope.Chooses(table))))
        {
            if (there.Find(table.Oid) is not null)
                yield return PublicationPlan.Locked(facts, [table], $"{table.FullName} is not chosen.",
                    $"ALTER PUBLICATION {SqlText.Identifier(name)} DROP TABLE ONLY {table.Sql}");
            if (table.Triggered)
                yield return PublicationPlan.Locked(facts, [table], $"{table.FullName} is not chosen.", DropTrigger(table));
        }
    }

    static IEnumerable<SetupStep> Unlist(
        SourceFacts facts, string name, ProtectedScope scope, Dictionary<uint, PublishedTable> listed, List<TableFacts> chosen)
    {
        var sameFilters = facts.Setup.Setting("rows") == scope.Settings().Single(pair => pair.Key == "rows").Value;
        foreach (var table in chosen)
        {
            if (!listed.TryGetValue(table.Oid, out var there))
                continue;
            var predicate = scope.PredicateOf(table);
            if (Publishable(table) && !there.ColumnList && (there.RowFilter is null) == (predicate is null) && (predicate is null || sameFilters))
                continue;
            listed.Remove(table.Oid);
            yield return PublicationPlan.Locked(facts, [table], $"{table.FullName} is not to be listed so.",
                $"ALTER PUBLICATION {name} DROP TABLE ONLY {table.Sql}");
        }
    }

    static IEnumerable<SetupStep> List(
        SourceFacts facts, string name, ProtectedScope scope, Dictionary<uint, PublishedTable> listed, List<TableFacts> chosen)
    {
        foreach (var batch in chosen.Where(table => Publishable(table) && !listed.ContainsKey(table.Oid)).Chunk(Batch))
            yield return PublicationPlan.Locked(facts, batch, batch.Length == 1 ? $"Updates and deletes of {batch[0].FullName}." : "Updates and deletes of these tables.",
                $"ALTER PUBLICATION {name} ADD TABLE {string.Join(", ", batch.Select(table => $"ONLY {table.Sql}{PublicationPlan.Where(scope.PredicateOf(table))}"))}");
    }

    static IEnumerable<SetupStep> Triggers(SourceFacts facts, ProtectedScope scope, List<TableFacts> chosen)
    {
        foreach (var table in chosen.Where(table => Publishable(table) == table.Triggered))
        {
            if (!table.Triggered && scope.PredicateOf(table) is not null)
                throw new RefusedException($"{table.FullName} has no key and a generated column: its updates cannot be published by a row filter",
                    "Add a primary key, or protect the whole table.");
            yield return PublicationPlan.Locked(facts, [table],
                table.Triggered ? $"{table.FullName} is published now: no trigger has to tell its changes."
                    : $"{table.FullName} has no key and a generated column: PostgreSQL {facts.Server.Major} lets no UPDATE of it be published. A trigger tells its changes.",
                table.Triggered ? [DropTrigger(table)]
                : [
                    $"CREATE OR REPLACE TRIGGER {SetupSql.RowTrigger} AFTER UPDATE OR DELETE ON {table.Sql} FOR EACH ROW EXECUTE FUNCTION crmbackup.on_change()",
                    $"ALTER TABLE ONLY {table.Sql} ENABLE ALWAYS TRIGGER {SetupSql.RowTrigger}",
                ]);
        }
    }

    public static string DropTrigger(TableFacts table) => $"DROP TRIGGER {SetupSql.RowTrigger} ON {table.Sql}";
}
