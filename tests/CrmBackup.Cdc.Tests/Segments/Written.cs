using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Tests.Segments;

/// <summary>Segments in memory.</summary>
static class Written
{
    public static (byte[] Bytes, SegmentEntry Entry) Base(RelationShape shape, IEnumerable<byte[]> tuples)
    {
        var output = new MemoryStream();
        using var writer = new BaseSegmentWriter(output, shape, Given.Origin);
        foreach (var tuple in tuples)
            writer.AddRow(tuple);
        var entry = writer.Complete("tables/000001-t/base/2026-11-22/00000001-000000000001.parquet",
            new BaseChunk(shape.Number, 1, 0, "739:745:740", shape.Version, 0, null, Keys: false, writer.Rows));
        return (output.ToArray(), entry);
    }

    public static (byte[] Bytes, SegmentEntry Entry) Changes(RelationShape shape, IEnumerable<ChangeEvent> events)
    {
        var output = new MemoryStream();
        using var writer = new ChangesSegmentWriter(output, shape, Given.Origin);
        foreach (var change in events)
            writer.Add(change);
        var entry = writer.Complete("tables/000001-t/changes/2026-11-22/00000001-000000000002.parquet");
        return (output.ToArray(), entry);
    }
}
