using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

static partial class CompareLog
{
    [LoggerMessage(4800, LogLevel.Information, "Compared {Tables} tables of {Rows} rows with the source in {Seconds:0.0} s: {Different} differ")]
    public static partial void Compared(this ILogger log, int tables, long rows, int different, double seconds);
}
