using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary><c>init --remove</c>: everything of ours, in the order that stops costs first and never leaves an UPDATE without identity.</summary>
static class RemovalPlan
{
    public static SetupPlan Plan(SourceFacts facts, SetupOptions options)
    {
        var steps = new List<SetupStep>();
        // In a copy of the database our settings name the original's slot.
        if (facts.Setup.Slot is { } slot && slot.Database == facts.Server.Database)
        {
            if (slot.Active)
                throw new RefusedException($"replication slot {slot.Name} is in use", "Stop the running capture first.");
            steps.Add(Removal("The server may drop the WAL it kept for us.", SlotPlan.DropStatement(slot.Name)));
        }
        foreach (var name in facts.Setup.EventTriggers.Keys.Order(StringComparer.Ordinal))
            steps.Add(Removal("Our event triggers.", $"DROP EVENT TRIGGER {SqlText.Identifier(name)}"));
        if (facts.Setup.Publication is not null)
            steps.Add(Removal("From here on no table needs a replica identity for us.",
                $"DROP PUBLICATION {SqlText.Identifier(SetupPlanner.PublicationName(facts, options))}"));
        if (facts.Setup.Changes is not null)
            steps.Add(Removal("The same for updates and deletes.", $"DROP PUBLICATION {SqlText.Identifier(ChangesPlan.NameOf(facts, options)!)}"));
        steps.AddRange(facts.Tables.Where(table => table.Triggered).Select(table => SetupStep.Transaction(SetupPhase.Removal,
            $"The trigger that told the changes of {table.FullName}.",
            [$"LOCK TABLE ONLY {table.Sql} IN ACCESS EXCLUSIVE MODE NOWAIT", ChangesPlan.DropTrigger(table)], locks: true)));
        steps.AddRange(Identities(facts));
        if (facts.Setup.SchemaExists)
            steps.Add(Removal("Settings, key and functions.", "DROP SCHEMA crmbackup CASCADE"));
        if (facts.Setup.Setting("roleCreated") is { } role && facts.Setup.Role is { Exists: true })
            steps.Add(SetupStep.Transaction(SetupPhase.Removal, "The role that init made.",
                [$"DROP OWNED BY {SqlText.Identifier(role)}", $"DROP ROLE {SqlText.Identifier(role)}"]));
        return new SetupPlan(steps, []);
    }

    /// <summary>Back to what they were, unless somebody has changed them since.</summary>
    static IEnumerable<SetupStep> Identities(SourceFacts facts)
    {
        foreach (var table in facts.Tables)
            if (facts.Setup.Setting($"identity.{table.Oid}") is { } before && table.Identity is 'f' or 'i')
                yield return SetupStep.Transaction(SetupPhase.Removal, $"The replica identity of {table.FullName} as it was.",
                [
                    $"LOCK TABLE ONLY {table.Sql} IN ACCESS EXCLUSIVE MODE NOWAIT",
                    $"ALTER TABLE ONLY {table.Sql} REPLICA IDENTITY {(before == "n" ? "NOTHING" : "DEFAULT")}",
                    $"DELETE FROM crmbackup.settings WHERE key = 'identity.{table.Oid}'",
                ], locks: true);
    }

    static SetupStep Removal(string why, string statement) => new(SetupPhase.Removal, why, [statement]);
}
