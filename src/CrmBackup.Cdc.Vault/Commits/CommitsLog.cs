using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Vault;

static partial class CommitsLog
{
    [LoggerMessage(3001, LogLevel.Warning,
        "The checkpoint after commit {Commit} could not be written; the next will be tried later")]
    public static partial void CheckpointNotWritten(this ILogger log, long commit, Exception failure);

    [LoggerMessage(3002, LogLevel.Warning,
        "Commits {Commits} are torn, cut off while they were written; setting them aside")]
    public static partial void SettingTornCommitsAside(this ILogger log, string commits);
}
