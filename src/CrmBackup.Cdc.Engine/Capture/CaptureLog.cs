using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

static partial class CaptureLog
{
    [LoggerMessage(4001, LogLevel.Information, "Capture reads slot {Slot} from {StartedAt} for epoch {Epoch}")]
    public static partial void StreamStarted(this ILogger log, string slot, Position startedAt, Guid epoch);

    [LoggerMessage(4002, LogLevel.Warning, "Capture lost the source and tries again in {Pause}: {Reason}")]
    public static partial void StreamInterrupted(this ILogger log, TimeSpan pause, string reason);

    [LoggerMessage(4003, LogLevel.Warning, "Capture waits for the archive to ask again: {Reason}")]
    public static partial void ChangeLogInterrupted(this ILogger log, string reason);

    [LoggerMessage(4004, LogLevel.Warning,
        "At {Lsn} someone wrote a logical message with our prefix and without our key; it is recorded as foreign and not obeyed")]
    public static partial void ForeignMessage(this ILogger log, Lsn lsn);

    [LoggerMessage(4005, LogLevel.Information, "Slot at {SlotAt}, archive at {AskedAt}: what lies between was not captured")]
    public static partial void SlotAhead(this ILogger log, Position slotAt, Position askedAt);

    [LoggerMessage(4006, LogLevel.Debug, "Order {Order} was not carried out: {Reason}")]
    public static partial void OrderUnanswerable(this ILogger log, ulong order, string reason);

    [LoggerMessage(4007, LogLevel.Information, "The archive asks for epoch {Epoch} from {At}")]
    public static partial void EpochBegins(this ILogger log, Guid epoch, Position? at);

    [LoggerMessage(4008, LogLevel.Warning, "A new slot is made, what lies between is a gap: {Reason}")]
    public static partial void SlotMadeAnew(this ILogger log, string reason);

    [LoggerMessage(4009, LogLevel.Warning, "The set-up in the source is mended: {Damage}")]
    public static partial void SetupIsMended(this ILogger log, string damage);

    [LoggerMessage(4010, LogLevel.Warning, "What follows {Lsn} is skipped, a gap: the server cannot deliver it: {Reason}")]
    public static partial void TransactionSkipped(this ILogger log, Lsn lsn, string reason);

    [LoggerMessage(4012, LogLevel.Warning, "The slot weighs on the source: {What}")]
    public static partial void SlotIsHeavy(this ILogger log, string what);

    [LoggerMessage(4013, LogLevel.Error, "The slot is let go, a gap: {Reason}")]
    public static partial void SlotLetGo(this ILogger log, string reason);

    [LoggerMessage(4014, LogLevel.Warning, "The slot's weight is not known now: {Reason}")]
    public static partial void SlotNotWeighed(this ILogger log, string reason);
}
