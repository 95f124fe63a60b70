using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>Brings a segment to its final name: written whole under <c>tmp/</c>, durable there, and only then named.</summary>
static class SegmentPlacing
{
    /// <param name="write">Writes the segment's bytes and describes them.</param>
    public static async Task<SegmentEntry> PlaceAsync(
        IMedium medium, string path, Func<Stream, Task<SegmentEntry>> write, CancellationToken stop)
    {
        var temporary = medium.NewTemporaryPath("segment");
        try
        {
            SegmentEntry entry;
            await using (var output = medium.CreateTemporary(temporary, bufferSize: 1 << 16))
                entry = await write(output);
            FailPoint.Hit(FailPoint.SegmentFsync);
            await medium.PublishAsync(temporary, path, stop);
            return entry;
        }
        catch
        {
            medium.DeleteTemporary(temporary);
            throw;
        }
    }
}
