namespace CrmBackup.Cdc.Postgres;

public enum Severity
{
    /// <summary>Worth knowing; nothing is lost.</summary>
    Info,
    /// <summary>Something is not protected, or less well; recorded, never hidden.</summary>
    Reduced,
    /// <summary>Would lose changes without a trace, or harm the source: exit 3.</summary>
    Unsafe,
}

public enum RemedyKind
{
    /// <summary>One statement for a session on the source, as superuser unless it says otherwise.</summary>
    Sql,
    /// <summary>One command line; <c>--source</c> and <c>--vault</c> are the caller's.</summary>
    Command,
    /// <summary>The server must be restarted after the lines before.</summary>
    Restart,
    /// <summary>For a person: no line can do it.</summary>
    Advice,
}

public sealed record Remedy(RemedyKind Kind, string Text)
{
    public static Remedy Sql(string statement) => new(RemedyKind.Sql, statement + ";");
    public static Remedy Command(string line) => new(RemedyKind.Command, line);
    public static Remedy Advice(string text) => new(RemedyKind.Advice, text);
    public static readonly Remedy Restart = new(RemedyKind.Restart, "-- restart PostgreSQL");
    public static readonly Remedy Reload = Sql("SELECT pg_reload_conf()");
    public static readonly Remedy Init = Command("crmbackup init");
}

/// <summary>One thing that <c>check</c> found.</summary>
/// <param name="Id">Stable, for scripts: for example "wal-level".</param>
/// <param name="What">The fact, in one line.</param>
/// <param name="Why">What it means for the backup or for the source.</param>
/// <param name="Remedies">In order. Running all of them makes the finding go away, unless one is advice.</param>
public sealed record Finding(string Id, Severity Severity, string What, string Why, IReadOnlyList<Remedy> Remedies)
{
    public override string ToString() => $"{Severity.ToString().ToLowerInvariant()}: {What}. {Why}";
}
