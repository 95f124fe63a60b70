using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

static partial class JobsLog
{
    [LoggerMessage(4400, LogLevel.Information, "Jobs and events of vault {Vault} are connected")]
    public static partial void ControlPlaneStarted(this ILogger log, Guid vault);

    [LoggerMessage(4401, LogLevel.Warning, "Jobs and events of vault {Vault} did not end in time and were abandoned")]
    public static partial void ControlPlaneAbandoned(this ILogger log, Guid vault);

    [LoggerMessage(4402, LogLevel.Error, "Jobs and events of vault {Vault} cannot be connected")]
    public static partial void ControlPlaneFailed(this ILogger log, Exception failure, Guid vault);

    [LoggerMessage(4403, LogLevel.Debug, "An event was not published: {Reason}")]
    public static partial void EventLost(this ILogger log, string reason);

    [LoggerMessage(4410, LogLevel.Information, "Settle job {Job}: {Segments} log segments")]
    public static partial void SettleBegins(this ILogger log, Guid job, int segments);

    [LoggerMessage(4411, LogLevel.Information, "Settle job {Job} is done: {Segments} table segments")]
    public static partial void SettleEnds(this ILogger log, Guid job, int segments);

    [LoggerMessage(4412, LogLevel.Error, "Settle job {Job} failed")]
    public static partial void SettleFailed(this ILogger log, Exception failure, Guid job);

    [LoggerMessage(4420, LogLevel.Warning, "Settle job {Job} is given out again: {Reason}")]
    public static partial void SettleAgain(this ILogger log, Guid job, string reason);

    [LoggerMessage(4421, LogLevel.Warning, "Settle job {Job} failed at worker {Worker}: {Reason}")]
    public static partial void SettleJobFailed(this ILogger log, Guid job, string worker, string reason);

    [LoggerMessage(4422, LogLevel.Warning, "Settle job {Job} of worker {Worker} came too late: its {Segments} segments are orphans")]
    public static partial void SettledTooLate(this ILogger log, Guid job, string worker, int segments);
}
