namespace CrmBackup.Cdc.Postgres;

/// <summary>The parts of set-up in their order. After each the source is looked at again: the CRM goes on meanwhile.</summary>
public enum SetupPhase
{
    Objects,
    Triggers,
    Identity,
    Publication,
    Slot,
    Role,
    Removal,
}

/// <summary>Statements that belong together, and why. Exactly these run, in this order, and exactly these are printed by a dry run.</summary>
/// <param name="Statements">Without the final semicolon. BEGIN and COMMIT stand among them where they are one transaction.</param>
/// <param name="Locks">True when a LOCK … NOWAIT may refuse: then the whole step is tried again after a pause.</param>
public sealed record SetupStep(SetupPhase Phase, string Why, IReadOnlyList<string> Statements, bool Locks = false)
{
    public static SetupStep Transaction(SetupPhase phase, string why, IEnumerable<string> statements, bool locks = false) =>
        new(phase, why, ["BEGIN", .. statements, "COMMIT"], locks);

    /// <summary>For <c>psql</c>.</summary>
    public override string ToString() =>
        $"-- {Why}\n{string.Join('\n', Statements.Select(statement => statement + ";"))}\n";
}

/// <param name="Notes">Facts to be shown before: widest rows, what is reduced, what the DBA still has to do.</param>
public sealed record SetupPlan(IReadOnlyList<SetupStep> Steps, IReadOnlyList<string> Notes)
{
    public override string ToString() =>
        string.Concat(Notes.Select(note => $"-- Note: {note}\n")) + string.Join('\n', Steps);
}
