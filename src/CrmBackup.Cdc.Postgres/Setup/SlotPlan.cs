using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The replication slot, made after the publication: the stream must find it at every position.</summary>
public static class SlotPlan
{
    internal static IEnumerable<SetupStep> Steps(SourceFacts facts, string name)
    {
        var slot = facts.Setup.Slot;
        if (slot is null)
            yield return new SetupStep(SetupPhase.Slot, "From here on nothing is lost. Waits until every transaction that runs now has ended.",
                CreateStatements(name));
        else if (slot.Database is { } original && original != facts.Server.Database)
            throw new RefusedException($"replication slot {name} belongs to database {original}, which {facts.Server.Database} is a copy of", SourceIdentity.OfACopy);
        else if (Problem(slot) is { } problem)
        {
            if (slot.Invalid is null || slot.Active)
                throw new RefusedException($"replication slot {name} {problem}", $"If nothing else needs it: {DropStatement(name)};");
            yield return new SetupStep(SetupPhase.Slot, $"The slot {problem}: a new one. What lies between is a gap.",
                [DropStatement(name), .. CreateStatements(name)]);
        }
        else if (facts.Setup.Setting("incarnation") is null)
            yield return new SetupStep(SetupPhase.Slot, "The slot was made, but not recorded.", RecordStatements(name));
    }

    /// <summary>What makes the slot useless to us, in words; null when nothing does.</summary>
    internal static string? Problem(SlotFacts slot) =>
        slot.Invalid is { } invalid ? $"is lost ({invalid})"
        : slot.Plugin != "pgoutput" ? $"has the plugin {slot.Plugin ?? "none: it is physical"}"
        : slot.TwoPhase ? "is two-phase"
        : null;

    /// <summary>Not inside one transaction: a slot cannot be made in one that has written. The first statement forgets the old
    /// incarnation, so a crash between them leaves a slot that the next run records.</summary>
    public static IReadOnlyList<string> CreateStatements(string name) =>
    [
        $"DELETE FROM crmbackup.settings WHERE key IN ('incarnation', 'waitFor', '{InheritedSetting}', '{RenewedSetting}', '{LetGoSetting}')",
        $"SELECT pg_create_logical_replication_slot({SqlText.Literal(name)}, 'pgoutput')",
        .. RecordStatements(name),
    ];

    /// <summary>To the end of the WAL: the same slot, of another incarnation.</summary>
    internal static IReadOnlyList<string> AdvanceStatements(string name) =>
    [
        $"SELECT pg_replication_slot_advance({SqlText.Literal(name)}, pg_current_wal_flush_lsn())",
        .. RecordStatements(name),
    ];

    /// <summary>The same slot, of the same incarnation, somewhere else. Whoever was waited for and still runs, runs now.</summary>
    internal const string WaitStatement = $"""
        INSERT INTO crmbackup.settings (key, value) {Running}
        ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value RETURNING value
        """;

    /// <summary>A snapshot lists who runs only up to its xmax, which is the first id after the last one that ended: who began later and still
    /// runs has an id from there to our own.</summary>
    const string Running = """
        SELECT 'waitFor', coalesce(string_agg(xid::text, ','), '') FROM (
            SELECT xid::text::bigint FROM pg_snapshot_xip(pg_current_snapshot()) xid
            UNION ALL SELECT generate_series(pg_snapshot_xmax(pg_current_snapshot())::text::bigint, pg_current_xact_id()::text::bigint - 1)) running (xid)
        """;

    /// <summary>The slot's <c>catalog_xmin</c> when it was made: a slot begins with what the others hold already.</summary>
    internal const string InheritedSetting = "slotXmin";

    /// <summary>Why capture made the slot anew.</summary>
    internal const string RenewedSetting = "slotRenewed";

    /// <summary>Why capture dropped the slot; until it is made anew.</summary>
    internal const string LetGoSetting = "slotLetGo";

    /// <summary>The incarnation that was made because the source was set back; <see cref="Undecided"/> until it is made.</summary>
    internal const string OtherHistorySetting = "otherHistory";

    internal const string Undecided = "next";

    internal static string Remember(string setting, string value) => SetupPlanner.SettingsUpsert([new(setting, value)]);

    public static string DropStatement(string name) => $"SELECT pg_drop_replication_slot({SqlText.Literal(name)})";

    internal static string DropIfThere(string name) =>
        $"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = {SqlText.Literal(name)}";

    /// <summary>Transactions still in progress now, prepared ones included: a base must see them ended (rule 4). Taken later than
    /// the slot's creation it names fewer, never too few: who ended meanwhile is visible.</summary>
    static IReadOnlyList<string> RecordStatements(string name) =>
    [
        $"""
        WITH made AS MATERIALIZED (SELECT gen_random_uuid()::text AS incarnation),
            other AS (UPDATE crmbackup.settings SET value = incarnation FROM made WHERE key = '{OtherHistorySetting}' AND value = '{Undecided}')
        INSERT INTO crmbackup.settings (key, value)
        {Running}
        UNION ALL SELECT 'incarnation', incarnation FROM made
        UNION ALL SELECT '{InheritedSetting}', catalog_xmin::text FROM pg_replication_slots WHERE slot_name = {SqlText.Literal(name)} AND catalog_xmin IS NOT NULL
        ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value
        """,
    ];
}
