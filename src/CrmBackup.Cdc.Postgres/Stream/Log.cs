using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Postgres;

static partial class Log
{
    [LoggerMessage(1001, LogLevel.Information,
        "The replication connection goes to the server directly, its reads are not coalesced: {Reason}")]
    public static partial void RelayRefused(this ILogger log, string reason);

    [LoggerMessage(1002, LogLevel.Warning, "A new slot is made when a transaction has ended that it would wait for: {Who}")]
    public static partial void SlotWaits(this ILogger log, string who);
}
