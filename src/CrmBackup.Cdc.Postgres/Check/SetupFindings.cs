using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>What of our set-up is missing, or was changed. Each remedy is what <c>init</c> would run.</summary>
static class SetupFindings
{
    public static IEnumerable<Finding> Of(SourceFacts facts, SetupOptions options, ProtectedScope scope)
    {
        var setup = facts.Setup;
        if (!facts.Server.CanReplicate)
            yield return new Finding("no-replication", Severity.Unsafe, $"role {facts.Server.User} may not replicate",
                "It cannot read the slot.", [Remedy.Sql($"ALTER ROLE {SqlText.Identifier(facts.Server.User)} REPLICATION")]);
        if (!setup.SchemaExists)
        {
            yield return new Finding("not-set-up", Severity.Unsafe, "init has not been run on this source", "Nothing is protected.", [Remedy.Init]);
            yield break;
        }
        if (!setup.Accessible)
        {
            yield return NoAccess(facts);
            yield break;
        }
        if (Copy(facts, options) is { } copy)
        {
            yield return copy;
            yield break;
        }
        if (options.Vault is { } vault && setup.Setting("vault") is { } other && other != vault.ToString())
            yield return new Finding("other-vault", Severity.Unsafe, $"the source is set up for vault {other}, not {vault}",
                "Two vaults on one slot would each get half of the changes.",
                [Remedy.Command("crmbackup init --remove"), Remedy.Init]);
        if (setup.Settings is null || !setup.SecretExists)
            yield return new Finding("settings-missing", Severity.Unsafe, "our tables in schema crmbackup are not complete",
                "Messages of ours cannot be told from others'.", [Remedy.Init]);
        foreach (var finding in Functions(setup).Concat(Triggers(setup, facts.Server.Major)).Concat(Publication(facts, options, scope))
            .Concat(Slot(facts, options)).Concat(Role(facts)).Concat(Costs(facts)))
            yield return finding;
    }

    /// <summary>All that follows would be about the set-up of another database.</summary>
    static Finding? Copy(SourceFacts facts, SetupOptions options)
    {
        var what = options.Cluster != 0 && facts.Server.Cluster != 0 && options.Cluster != facts.Server.Cluster
            ? $"the source is the cluster {facts.Server.Cluster}, the vault belongs to {options.Cluster}: pg_upgrade has made another one of it, or it is a copy"
            : facts.Setup.Slot is { Database: { } original } && original != facts.Server.Database
                ? $"the database {facts.Server.Database} is a copy of {original}, whose slot its settings name" : null;
        return what is null ? null : new Finding("copy", Severity.Unsafe, what,
            "Its positions mean nothing in that vault, which is restored as before; it needs a vault of its own.",
            [Remedy.Command("crmbackup init --remove"), Remedy.Advice("Then, with an empty folder for --vault:"), Remedy.Init]);
    }

    /// <summary>Where the CRM's own statements can fail because of us, whatever we do (README, "What it may cost the source").</summary>
    static IEnumerable<Finding> Costs(SourceFacts facts)
    {
        if (ChangesPlan.Applies(facts.Server.Major) || facts.Setup.Publication is not { } publication)
            yield break;
        yield return publication.AllTables
            ? new Finding("removal-by-hand", Severity.Info, "the publication covers tables to come",
                "Where schema crmbackup or our event triggers are dropped by hand, UPDATE and DELETE fail on a table that is made later without a key, until run or init has made them anew. "
                    + "To part from crmbackup use 'crmbackup init --remove'.", [])
            : new Finding("set-unlogged", Severity.Info, "tables are published by name",
                "While a table is published by name it cannot be SET UNLOGGED: take it out before, with 'crmbackup init --exclude-table'.", []);
    }

    static Finding NoAccess(SourceFacts facts)
    {
        var role = SqlText.Identifier(facts.Server.User);
        return new Finding("no-access", Severity.Unsafe, $"role {facts.Server.User} may not read schema crmbackup",
            "Capture needs its settings and the key of its messages there.",
            [.. RolePlan.Grants(facts.Server.Database, role).Select(Remedy.Sql)]);
    }

    static IEnumerable<Finding> Functions(SetupFacts setup)
    {
        foreach (var function in SetupSql.Functions)
        {
            var there = setup.Functions.GetValueOrDefault(function.Name);
            if (there is null || !function.Is(there))
                yield return new Finding("function-changed", Severity.Unsafe,
                    $"function crmbackup.{function.Name} {(there is null ? "is missing" : "is not the one of this version")}",
                    "What our event triggers say could be wrong or missing.", [Remedy.Sql(function.Statement)]);
        }
    }

    static IEnumerable<Finding> Triggers(SetupFacts setup, int major)
    {
        foreach (var (name, eventName, function) in SetupSql.EventTriggersOf(major))
        {
            var there = setup.EventTriggers.GetValueOrDefault(name);
            if (SetupPlanner.TriggerStep(setup, name, eventName, function) is not { } step)
                continue;
            var state = there switch
            {
                null => "is missing",
                { Enabled: 'D' } => "is disabled",
                { Enabled: not 'A' } => "does not fire under session_replication_role = replica",
                _ => "does not call our function",
            };
            yield return new Finding("event-trigger", Severity.Unsafe, $"event trigger {name} {state}",
                "Schema changes and rewritten tables go unnoticed.",
                there is { } wrong && wrong.Event == eventName && wrong.Function == $"crmbackup.{function}"
                    ? [Remedy.Sql($"ALTER EVENT TRIGGER {name} ENABLE ALWAYS")] : Statements(step));
        }
    }

    static IEnumerable<Finding> Publication(SourceFacts facts, SetupOptions options, ProtectedScope scope)
    {
        var changed = PublicationPlan.Changed(facts.Setup);
        if (changed is not null && facts.Setup.Slot is { Active: true })
        {
            yield return new Finding("publication", Severity.Unsafe, changed, "The stream no longer holds all that it should.",
                [Remedy.Advice("Stop the running capture, then:"), Remedy.Init]);
            yield break;
        }
        var steps = PublicationPlan.Steps(facts, options, scope).ToList();
        if (steps.Count == 0)
            yield break;
        // A new slot after it: what was written meanwhile cannot be had from the old one.
        IEnumerable<string> slot = changed is not null && facts.Setup.Slot is { } old ? SlotPlan.CreateStatements(old.Name) : [];
        yield return new Finding("publication", Severity.Unsafe,
            changed ?? (facts.Setup.Publication is null ? "the publication is missing" : $"the publication is not what was chosen: {steps[0].Why.TrimEnd('.')}"),
            "The stream does not hold all that it should.",
            [.. steps.SelectMany(Statements), .. slot.Select(Remedy.Sql)]);
    }

    static IEnumerable<Finding> Slot(SourceFacts facts, SetupOptions options)
    {
        var name = SetupPlanner.SlotName(facts, options);
        if (facts.Setup.Slot is not { } slot)
            yield return new Finding("slot-missing", Severity.Unsafe, $"replication slot {name} is missing",
                "Nothing keeps the changes for us.", [.. SlotPlan.CreateStatements(name).Select(Remedy.Sql)]);
        else if (SlotPlan.Problem(slot) is { } problem)
            yield return new Finding("slot-useless", Severity.Unsafe, $"replication slot {name} {problem}",
                "Changes since then cannot be read from it: with a new slot a gap is recorded and all tables are read again.",
                [
                    Remedy.Sql(SlotPlan.DropStatement(name)),
                    .. SlotPlan.CreateStatements(name).Select(Remedy.Sql),
                ]);
        else if (facts.Setup.Settings is not null && facts.Setup.Setting("incarnation") is null)
            yield return new Finding("slot-unrecorded", Severity.Unsafe, $"replication slot {name} is not recorded",
                "Capture could not tell it from a later one.", [.. SlotPlan.Steps(facts, name).SelectMany(Statements)]);
        else if (slot.WalStatus == "unreserved")
            yield return new Finding("slot-at-risk", Severity.Reduced, $"replication slot {name} is about to be lost",
                $"The server keeps {slot.RetainedBytes >> 20} MB of WAL for it, more than max_slot_wal_keep_size.",
                [Remedy.Advice("Let capture catch up now, or raise max_slot_wal_keep_size.")]);
    }

    static IEnumerable<Finding> Role(SourceFacts facts)
    {
        foreach (var step in RolePlan.Steps(facts, []))
            yield return new Finding("role", Severity.Unsafe, $"role {facts.Setup.Role!.Name} lacks what init gave it",
                step.Why, [.. Statements(step)]);
    }

    public static List<Remedy> Statements(SetupStep step) => [.. step.Statements.Select(Remedy.Sql)];
}
