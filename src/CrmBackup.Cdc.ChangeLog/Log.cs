using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.ChangeLog;

static partial class Log
{
    [LoggerMessage(2000, LogLevel.Debug, "Connected to {Broker} ({Purpose})")]
    public static partial void Connected(this ILogger log, string broker, string purpose);

    [LoggerMessage(2001, LogLevel.Information, "Reading {Queue} on {Broker}")]
    public static partial void Reading(this ILogger log, string queue, string broker);

    [LoggerMessage(2002, LogLevel.Warning, "Reading {Queue} was interrupted: {Reason}; subscribing again")]
    public static partial void ReadingInterrupted(this ILogger log, string queue, string reason);

    [LoggerMessage(2003, LogLevel.Warning, "{Queue} cannot be read: {Reason}; trying again until it can")]
    public static partial void BrokerAway(this ILogger log, string queue, string reason);

    [LoggerMessage(2009, LogLevel.Debug, "{Queue} still cannot be read; trying again in {Pause}")]
    public static partial void BrokerStillAway(this ILogger log, string queue, TimeSpan pause);

    [LoggerMessage(2005, LogLevel.Information, "{Queue} holds {MiB} MiB that nobody has read: waiting for its reader")]
    public static partial void WaitsForRoom(this ILogger log, string queue, long miB);

    [LoggerMessage(2006, LogLevel.Warning, "The broker {Broker} takes nothing more for now: {Reason}")]
    public static partial void BrokerBlocks(this ILogger log, string broker, string reason);

    [LoggerMessage(2007, LogLevel.Information, "The broker {Broker} takes messages again")]
    public static partial void BrokerUnblocks(this ILogger log, string broker);

    [LoggerMessage(2008, LogLevel.Warning, "An incomplete block came by the lane {Lane} (part of {Block}) and was dropped: its sender or reader ended half-way")]
    public static partial void IncompleteBlock(this ILogger log, BlockKind lane, string block);

    [LoggerMessage(2010, LogLevel.Warning, "The request {Request} was lost and will be asked again: {Reason}")]
    public static partial void RequestLost(this ILogger log, string request, string reason);
}
