using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Vault;

/// <summary>Which library has proved that a segment holds what was written.</summary>
public enum ReadBackBy
{
    /// <summary>Not the one that wrote it: a fault of either would have shown.</summary>
    OtherLibrary,
    /// <summary>The other one could not read the file at all.</summary>
    WritingLibrary,
}

/// <summary>Reads a segment back before anything older is dropped for it, by the library that did not write it where that is able to.</summary>
public static class SegmentCheck
{
    /// <param name="open">Opens the file from its beginning, each time anew.</param>
    /// <exception cref="DifferenceException">The file is damaged, or a library reads something else from it than was written.</exception>
    public static async Task<ReadBackBy> ReadBackAsync(
        Func<Stream> open, SegmentEntry entry, ILogger log, CancellationToken stop)
    {
        if (entry.Kind == SegmentKind.Log)
        {
            SegmentFile.VerifyWritten(open(), entry);
            return ReadBackBy.OtherLibrary;
        }
        await using var stream = open();
        SegmentFile.VerifyHash(stream, entry);
        stream.Position = 0;
        try
        {
            using var tally = new EventTally();
            await SegmentCrossReader.TallyAsync(stream, tally, stop);
            if (tally.Rows == entry.Rows && tally.ContentHash() == entry.ContentHash)
                return ReadBackBy.OtherLibrary;
        }
        // Not only its own exceptions: what it does not support shows as casts and indexes that fail.
        catch (Exception failure) when (failure is not (OperationCanceledException or OutOfMemoryException))
        {
            log.SegmentReadByWriterOnly(entry.Path, failure);
            SegmentFile.VerifyWritten(open(), entry);
            return ReadBackBy.WritingLibrary;
        }
        throw new DifferenceException(
            $"{entry.Path} does not read back as what was written into it", "The events stay in their log segments; report this table's column types.");
    }
}

static partial class SegmentsLog
{
    [LoggerMessage(3200, LogLevel.Warning, "{Segment} could only be read back by the library that wrote it")]
    public static partial void SegmentReadByWriterOnly(this ILogger log, string segment, Exception reason);
}
