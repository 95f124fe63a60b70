using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

static partial class Log
{
    [LoggerMessage(5001, LogLevel.Warning,
        "The password in {Option} can be seen by every user of this machine: use PGPASSWORD, ~/.pgpass, the environment or a file")]
    public static partial void PasswordInOption(this ILogger log, string option);
}
