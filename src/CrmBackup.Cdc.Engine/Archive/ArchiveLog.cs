using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Engine;

static partial class ArchiveLog
{
    [LoggerMessage(4200, LogLevel.Information, "Archive asks for the stream from {Position}, epoch {Epoch}")]
    public static partial void StreamAsked(this ILogger log, Position? position, Guid epoch);

    [LoggerMessage(4201, LogLevel.Information, "Stream open: {Database}, server {Version}, from {Position}")]
    public static partial void StreamIsOpen(this ILogger log, string database, int version, Position position);

    [LoggerMessage(4202, LogLevel.Debug, "Commit {Number} is durable: {Rows} events up to {Position}")]
    public static partial void Durable(this ILogger log, long number, long rows, Position position);

    [LoggerMessage(4203, LogLevel.Warning, "Gap: {Scope} {Relation} after {After}: {Reason}")]
    public static partial void GapOpened(this ILogger log, GapScope scope, int relation, Position after, string reason);

    [LoggerMessage(4204, LogLevel.Information, "Base {BaseId} of {Table} begins")]
    public static partial void BaseBegins(this ILogger log, int baseId, string table);

    [LoggerMessage(4205, LogLevel.Information, "Base {BaseId} of {Table} is complete: {Rows} rows, coverage from {From}")]
    public static partial void BaseIsComplete(this ILogger log, int baseId, string table, long rows, Position from);

    [LoggerMessage(4206, LogLevel.Warning, "Order {Order} was not carried out: {Reason}")]
    public static partial void OrderPutOff(this ILogger log, ulong order, string reason);

    [LoggerMessage(4207, LogLevel.Information, "Schema {Hash} stored, exact from {From}")]
    public static partial void SchemaStored(this ILogger log, string hash, Position from);

    [LoggerMessage(4208, LogLevel.Warning, "Block {Number} does not continue the epoch: the stream is asked for anew")]
    public static partial void BlockDoubted(this ILogger log, ulong number);

    [LoggerMessage(4209, LogLevel.Warning, "{Count} messages carried our prefix and a wrong keyed hash: ignored")]
    public static partial void ForeignMessages(this ILogger log, long count);

    [LoggerMessage(4210, LogLevel.Information, "Settled {Segments} log segments into {Tables} table segments, up to {Position}")]
    public static partial void Settled(this ILogger log, int segments, int tables, Lsn position);

    [LoggerMessage(4212, LogLevel.Warning, "No order was answered for {Patience}: the stream is asked for anew")]
    public static partial void AnswersMissing(this ILogger log, TimeSpan patience);

    [LoggerMessage(4213, LogLevel.Information, "Base {BaseId} of {Table} begins, by difference to what the vault knew at {Past}")]
    public static partial void RepairBegins(this ILogger log, int baseId, string table, Position past);

    [LoggerMessage(4214, LogLevel.Information, "{Table} cannot be repaired by difference: {Reason}; it is read anew")]
    public static partial void RepairGivenUp(this ILogger log, string table, string reason);

    [LoggerMessage(4215, LogLevel.Information,
        "{Table} was repaired by difference: {Ranges} key ranges compared, {Differing} differed, {Copied} of {Rows} rows copied from the source")]
    public static partial void Repaired(this ILogger log, string table, long ranges, long differing, long copied, long rows);

    [LoggerMessage(4211, LogLevel.Information, "Archive stopped; everything up to {Position} is durable")]
    public static partial void ArchiveStopped(this ILogger log, Position? position);
}
