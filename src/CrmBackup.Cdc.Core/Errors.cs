namespace CrmBackup.Cdc.Core;

/// <summary>What the process answers with. Scripts and timers rely on these numbers.</summary>
public enum ExitCode
{
    Done = 0,
    Failed = 1,
    WrongUsage = 2,
    /// <summary>A gap, a lock, an unsafe set-up, another writer: nothing was done.</summary>
    Refused = 3,
    /// <summary>Verification found a difference.</summary>
    Difference = 4,
}

/// <summary>Something the user can understand and act on: one line that says what and where, one hint that says what to do.</summary>
public class BackupException(string message, string hint, ExitCode exitCode = ExitCode.Failed, Exception? inner = null)
    : Exception(message, inner)
{
    /// <summary>What to do next, one sentence.</summary>
    public string Hint { get; } = hint;

    public ExitCode ExitCode { get; } = exitCode;
}

/// <summary>The command was given words it cannot use.</summary>
public sealed class UsageException(string message, string hint) : BackupException(message, hint, ExitCode.WrongUsage);

/// <summary>Going on would be unsafe; nothing was changed.</summary>
public sealed class RefusedException(string message, string hint) : BackupException(message, hint, ExitCode.Refused);

/// <summary>Stored bytes are not what the vault says they are, or the restored state is not the recorded one.</summary>
public sealed class DifferenceException(string message, string hint) : BackupException(message, hint, ExitCode.Difference);

/// <summary>A frame, block, file or value that our formats do not allow. Never skipped: what we do not understand we would lose.</summary>
public sealed class FormatViolationException(string message, Exception? inner = null)
    : BackupException(message, "The data is damaged, or was written by a newer version: run 'crmbackup verify'.", ExitCode.Difference, inner);

/// <summary>A broken invariant of our own: the process must stop.</summary>
public static class Invariant
{
    public static void Holds([System.Diagnostics.CodeAnalysis.DoesNotReturnIf(false)] bool condition, string what)
    {
        if (!condition)
            throw new InvalidOperationException($"broken invariant: {what}");
    }
}
