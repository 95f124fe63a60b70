using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

static partial class JobsLog
{
    [LoggerMessage(4450, LogLevel.Information, "Jobs and events of vault {Vault} are connected")]
    public static partial void ControlPlaneStarted(this ILogger log, Guid vault);

    [LoggerMessage(4451, LogLevel.Warning, "Jobs and events of vault {Vault} did not end in time and were abandoned")]
    public static partial void ControlPlaneAbandoned(this ILogger log, Guid vault);

    [LoggerMessage(4452, LogLevel.Error, "Jobs and events of vault {Vault} cannot be connected")]
    public static partial void ControlPlaneFailed(this ILogger log, Exception failure, Guid vault);

    [LoggerMessage(4453, LogLevel.Debug, "An event was not published: {Reason}")]
    public static partial void EventLost(this ILogger log, string reason);

    [LoggerMessage(4460, LogLevel.Information, "Settle job {Job}: {Segments} log segments")]
    public static partial void SettleBegins(this ILogger log, Guid job, int segments);

    [LoggerMessage(4461, LogLevel.Information, "Settle job {Job} is done: {Segments} table segments")]
    public static partial void SettleEnds(this ILogger log, Guid job, int segments);

    [LoggerMessage(4462, LogLevel.Error, "Settle job {Job} failed")]
    public static partial void SettleFailed(this ILogger log, Exception failure, Guid job);

    [LoggerMessage(4463, LogLevel.Information, "Settle job {Job} is cut off: the worker stops")]
    public static partial void SettleCutOff(this ILogger log, Guid job);

    [LoggerMessage(4464, LogLevel.Information, "Settle job {Job} is given back: the vault takes no data here")]
    public static partial void SettleGivenBack(this ILogger log, Guid job);

    [LoggerMessage(4470, LogLevel.Warning, "Settle job {Job} is given out again: {Reason}")]
    public static partial void SettleAgain(this ILogger log, Guid job, string reason);

    [LoggerMessage(4471, LogLevel.Warning, "Settle job {Job} failed at worker {Worker}: {Reason}")]
    public static partial void SettleJobFailed(this ILogger log, Guid job, string worker, string reason);

    [LoggerMessage(4472, LogLevel.Warning, "Settle job {Job} of worker {Worker} came too late: its {Segments} segments are orphans")]
    public static partial void SettledTooLate(this ILogger log, Guid job, string worker, int segments);
}
