using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

static partial class Log
{
    [LoggerMessage(5001, LogLevel.Warning,
        "The password in {Option} can be seen by every user of this machine: use PGPASSWORD, ~/.pgpass, the environment or a file")]
    public static partial void PasswordInOption(this ILogger log, string option);

    [LoggerMessage(5010, LogLevel.Information, "Source: {Why}")]
    public static partial void SetupStep(this ILogger log, string why);

    [LoggerMessage(5011, LogLevel.Warning, "{Note}")]
    public static partial void Note(this ILogger log, string note);

    [LoggerMessage(5012, LogLevel.Information, "The vault {Path} is made")]
    public static partial void VaultMade(this ILogger log, string path);

    [LoggerMessage(5013, LogLevel.Warning, "{Path}: {Warning}")]
    public static partial void MediumWarning(this ILogger log, string path, string warning);

    [LoggerMessage(5014, LogLevel.Error,
        "{Vault} does not hold commit {Number} ({Hash}) any more, seen at {Seen:u}: its history was cut off or replaced; 'crmbackup verify' says more")]
    public static partial void RolledBack(this ILogger log, string vault, long number, Sha256 hash, DateTimeOffset seen);

    [LoggerMessage(5015, LogLevel.Warning, "{What}. {Hint}")]
    public static partial void HeadNotRemembered(this ILogger log, string what, string hint);

    [LoggerMessage(5016, LogLevel.Warning,
        "{Vault} lacks segments of the commits after {Whole} (up to {Head}): a copy that is not finished, or damage; it is taken as it was at commit {Whole}")]
    public static partial void Unfinished(this ILogger log, string vault, long whole, long head);

    [LoggerMessage(5017, LogLevel.Error, "The vault is waited for: {What}. {Hint}")]
    public static partial void VaultIsWaitedFor(this ILogger log, string what, string hint);

    [LoggerMessage(5018, LogLevel.Information, "{Vault} takes data again: work goes on")]
    public static partial void VaultIsBack(this ILogger log, string vault);

    [LoggerMessage(5020, LogLevel.Information, "Protecting {Database}, vault {Vault}; stop with SIGTERM or Ctrl-C")]
    public static partial void Protecting(this ILogger log, string database, string vault);

    [LoggerMessage(5021, LogLevel.Error, "{Path} is damaged: {What}")]
    public static partial void Damaged(this ILogger log, string path, string what);
}
