using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Decides what set-up has still to do. Reads nothing: the same facts and options give the same plan.</summary>
static class SetupPlanner
{
    /// <param name="filtersNeedFull">Tables whose row filter reads columns outside their replica identity.</param>
    /// <exception cref="RefusedException">Going on would lose changes or harm the source.</exception>
    public static SetupPlan Plan(SourceFacts facts, SetupOptions options, IReadOnlySet<uint> filtersNeedFull)
    {
        RefuseUnsafe(facts, options);
        var scope = ProtectedScope.Of(options, facts.Setup);
        var notes = new List<string>();
        var steps = new List<SetupStep>();
        steps.AddRange(Objects(facts, options, scope));
        steps.AddRange(Triggers(facts));
        steps.AddRange(IdentityPlan.Steps(facts, options, scope, filtersNeedFull, notes));
        steps.AddRange(PublicationPlan.Steps(facts, options, scope));
        steps.AddRange(SlotPlan.Steps(facts, SlotName(facts, options)));
        steps.AddRange(RolePlan.Steps(facts, notes));
        return new SetupPlan(steps, notes);
    }

    public static string SlotName(SourceFacts facts, SetupOptions options) =>
        options.Slot ?? facts.Setup.Setting("slot") ?? SetupOptions.DefaultSlot(facts.Server.DatabaseOid);

    public static string PublicationName(SourceFacts facts, SetupOptions options) =>
        options.Publication ?? facts.Setup.Setting("publication") ?? SetupOptions.DefaultPublication;

    public static string SettingsUpsert(IEnumerable<KeyValuePair<string, string>> settings) =>
        "INSERT INTO crmbackup.settings (key, value) VALUES "
        + string.Join(", ", settings.Select(pair => $"({SqlText.Literal(pair.Key)}, {SqlText.Literal(pair.Value)})"))
        + " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value";

    static void RefuseUnsafe(SourceFacts facts, SetupOptions options)
    {
        if (ServerFindings.Of(facts).FirstOrDefault(finding => finding.Severity == Severity.Unsafe) is { } unsafeFinding)
            throw new RefusedException($"{unsafeFinding.What}: {unsafeFinding.Why}",
                string.Join(" ", unsafeFinding.Remedies.Select(remedy => remedy.Text)));
        if (!facts.Server.Superuser)
            throw new RefusedException($"role {facts.Server.User} is not a superuser",
                "Event triggers and a publication of all tables need one: have a DBA run what 'crmbackup init --dry-run' prints.");
        if (facts.Setup is { SchemaExists: true, Settings: null })
            throw new RefusedException("there is a schema crmbackup that is not ours", "Rename or drop it, then run init again.");
        if (options.Vault is { } vault && facts.Setup.Setting("vault") is { } other && other != vault.ToString())
            throw new RefusedException($"this source is set up for vault {other}, not {vault}",
                "Use that vault, or take the set-up away with 'crmbackup init --remove' first.");
        if (facts.Setup.Setting("slot") is { } slot && options.Slot is { } asked && asked != slot)
            throw new RefusedException($"this source is set up with slot {slot}", "Run 'crmbackup init --remove' first.");
        if (facts.Setup.Setting("publication") is { } publication && options.Publication is { } name && name != publication)
            throw new RefusedException($"this source is set up with publication {publication}", "Run 'crmbackup init --remove' first.");
    }

    static IEnumerable<SetupStep> Objects(SourceFacts facts, SetupOptions options, ProtectedScope scope)
    {
        var setup = facts.Setup;
        var wanted = new List<KeyValuePair<string, string>>
        {
            new("slot", SlotName(facts, options)),
            new("publication", PublicationName(facts, options)),
            new("rewriteLimit", options.RewriteLimit.ToString(System.Globalization.CultureInfo.InvariantCulture)),
        };
        if (ChangesPlan.NameOf(facts, options) is { } changes)
            wanted.Add(new("changesPublication", changes));
        if (options.Vault is { } vault)
            wanted.Add(new("vault", vault.ToString()));
        if (options.Role is { } role)
            wanted.Add(new("role", role));
        // Once there is a publication the choice changes together with it; unless the choice is gone with our schema.
        if (setup.Publication is null || setup.Setting("scope") is null)
            wanted.AddRange(scope.Settings());
        var changed = wanted.Where(pair => setup.Setting(pair.Key) != pair.Value).ToList();
        var functions = SetupSql.Functions
            .Where(function => !setup.Functions.TryGetValue(function.Name, out var there) || !function.Is(there)).ToList();
        if (setup.Settings is not null && setup.SecretExists && changed.Count == 0 && functions.Count == 0)
            yield break;
        var statements = new List<string>();
        if (!setup.SchemaExists)
            statements.Add("CREATE SCHEMA crmbackup");
        if (setup.Settings is null)
            statements.Add("CREATE TABLE crmbackup.settings (key text PRIMARY KEY, value text NOT NULL)");
        if (!setup.SecretExists)
            statements.AddRange(SecretStatements);
        if (changed.Count > 0)
            statements.Add(SettingsUpsert(changed));
        foreach (var function in functions)
        {
            statements.Add(function.Statement);
            statements.Add($"REVOKE ALL ON FUNCTION {function.GrantSignature} FROM PUBLIC");
        }
        yield return SetupStep.Transaction(SetupPhase.Objects,
            "Schema crmbackup: our settings, the key that proves our messages, and the functions of the event triggers.", statements);
    }

    /// <summary>The key is made by the server and never leaves it in a statement. What is stored are HMAC's two pads:
    /// 32 random bytes, filled up to 64 with zeros, XOR 0x36 and 0x5c.</summary>
    static IEnumerable<string> SecretStatements =>
    [
        "CREATE TABLE crmbackup.secret (one boolean PRIMARY KEY DEFAULT true CHECK (one), inner_pad bytea NOT NULL, outer_pad bytea NOT NULL)",
        """
        WITH key AS MATERIALIZED (
          SELECT sha256(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8')) || decode(repeat('00', 32), 'hex') AS k
          FROM generate_series(1, 4))
        INSERT INTO crmbackup.secret (inner_pad, outer_pad)
        SELECT string_agg(set_byte('\x00', 0, get_byte(k, i) # 54), '' ORDER BY i),
               string_agg(set_byte('\x00', 0, get_byte(k, i) # 92), '' ORDER BY i)
        FROM key, generate_series(0, 63) i
        """,
    ];

    static IEnumerable<SetupStep> Triggers(SourceFacts facts) =>
        SetupSql.EventTriggersOf(facts.Server.Major).Select(wanted => TriggerStep(facts.Setup, wanted.Name, wanted.Event, wanted.Function)).OfType<SetupStep>();

    /// <summary>Null when the trigger is as it should be.</summary>
    public static SetupStep? TriggerStep(SetupFacts setup, string name, string eventName, string function)
    {
        var there = setup.EventTriggers.GetValueOrDefault(name);
        if (there is not null && there.Event == eventName && there.Function == $"crmbackup.{function}" && there.Enabled == 'A')
            return null;
        List<string> statements = there is null ? [] : [$"DROP EVENT TRIGGER {name}"];
        return SetupStep.Transaction(SetupPhase.Triggers,
            $"{eventName}: schema changes travel in the WAL with the rows, also under session_replication_role = replica.",
            [
                .. statements,
                $"CREATE EVENT TRIGGER {name} ON {eventName}{(name == SetupSql.ListedTables ? " WHEN TAG IN ('ALTER TABLE')" : "")} EXECUTE FUNCTION crmbackup.{function}()",
                $"ALTER EVENT TRIGGER {name} ENABLE ALWAYS",
            ]);
    }
}
