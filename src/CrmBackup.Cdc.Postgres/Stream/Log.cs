using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Postgres;

static partial class Log
{
    [LoggerMessage(1001, LogLevel.Information,
        "The replication connection goes to the server directly, its reads are not coalesced: {Reason}")]
    public static partial void RelayRefused(this ILogger log, string reason);
}
