using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

static partial class SettleLog
{
    [LoggerMessage(4400, LogLevel.Information,
        "{Logs} log segments became {Tables} changes segments up to {To}; {Other} of them read back by the other Parquet library")]
    public static partial void Settled(this ILogger log, int logs, int tables, int other, Lsn to);

    [LoggerMessage(4409, LogLevel.Warning, "Settling waits for {Pause}: {Reason}")]
    public static partial void SettlePutOff(this ILogger log, string reason, TimeSpan pause);
}
