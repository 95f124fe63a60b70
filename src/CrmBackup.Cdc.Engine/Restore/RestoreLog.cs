using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

static partial class RestoreLog
{
    [LoggerMessage(4600, LogLevel.Information, "Restore to {Target} means {At}: {Tables} tables, {Bytes} bytes of segments")]
    public static partial void RestorePlanned(this ILogger log, RestoreTarget target, Position at, int tables, long bytes);

    [LoggerMessage(4601, LogLevel.Information, "Restored {Rows} rows of {Tables} tables into {Database} in {Seconds:0.0} s")]
    public static partial void RestoreDone(this ILogger log, string database, long rows, int tables, double seconds);

    [LoggerMessage(4602, LogLevel.Warning, "The restore failed: the database {Database} that it had made was dropped again")]
    public static partial void PartialDropped(this ILogger log, string database);

    [LoggerMessage(4603, LogLevel.Warning, "The restore failed: the database {Database} is partly restored, and was left as it is")]
    public static partial void PartialKept(this ILogger log, string database);

    [LoggerMessage(4604, LogLevel.Information, "{Old} is out of service, {New} takes its name")]
    public static partial void SwapBegins(this ILogger log, string old, string @new);

    [LoggerMessage(4605, LogLevel.Information, "{Database} takes connections again after {Seconds:0.00} s; the database from before is {Kept}")]
    public static partial void SwapDone(this ILogger log, string database, double seconds, string kept);
}
