namespace CrmBackup.Cdc.Engine;

/// <summary>How the archive works. Bound from the configuration's <c>archive</c> section.</summary>
public sealed record ArchiveOptions
{
    /// <summary>Longest wait of a change in an open segment: the recovery point objective.</summary>
    public TimeSpan Flush { get; init; } = TimeSpan.FromSeconds(1);
    /// <summary>32 MiB: one segment fits in memory on the smallest server we support.</summary>
    public long FlushBytes { get; init; } = 32L << 20;
    /// <summary>How often an idle source's progress is committed, so that its slot holds no WAL for nothing.</summary>
    public TimeSpan Idle { get; init; } = TimeSpan.FromMinutes(1);
    /// <summary>Without a sign of the stream for this long, capture is asked for it again.</summary>
    public TimeSpan Ask { get; init; } = TimeSpan.FromSeconds(3);
    /// <summary>Heap pages per base chunk: 16384 pages are 128 MiB, read in a few seconds (rule 18: at most 10 s).</summary>
    public int BaseChunkPages { get; init; } = 16_384;
    /// <summary>After a gap, tables of at least this size are repaired by difference; smaller ones are read as fast.</summary>
    public long RepairBytesMin { get; init; } = 32L << 20;
    /// <summary>Rows of a key range: copied together where one of them differs.</summary>
    public int RepairRangeRows { get; init; } = 500;
    /// <summary>Rows compared in one short transaction on the source.</summary>
    public int RepairPartRows { get; init; } = 100_000;
    /// <summary>Base chunks and dumps asked for at the same time.</summary>
    public int BaseParallel { get; init; } = 2;
    /// <summary>Pause before an order that could not be carried out is repeated.</summary>
    public TimeSpan OrderRetry { get; init; } = TimeSpan.FromSeconds(1);
    /// <summary>Without any answer to an order for this long, the epoch begins anew: longer than the longest chunk or table without a key takes.</summary>
    public TimeSpan AnswerPatience { get; init; } = TimeSpan.FromMinutes(30);
    /// <summary>The schema is dumped again when no DDL came for this long.</summary>
    public TimeSpan SchemaQuiet { get; init; } = TimeSpan.FromMilliseconds(500);

    public IEnumerable<string> Problems()
    {
        if (Flush < TimeSpan.FromMilliseconds(10))
            yield return "archive:flush must be at least 10 ms";
        if (FlushBytes < 1 << 20)
            yield return "archive:flushBytes must be at least 1 MiB";
        if (Idle < TimeSpan.FromSeconds(1))
            yield return "archive:idle must be at least 1 s";
        if (Ask < TimeSpan.FromSeconds(1))
            yield return "archive:ask must be at least 1 s";
        if (BaseChunkPages is < 1 or > 1 << 20)
            yield return "archive:baseChunkPages must be between 1 and 1048576";
        if (RepairBytesMin < 0)
            yield return "archive:repairBytesMin must not be negative";
        if (RepairRangeRows is < 1 or > 100_000)
            yield return "archive:repairRangeRows must be between 1 and 100000";
        if (RepairPartRows is < 1 or > 10_000_000)
            yield return "archive:repairPartRows must be between 1 and 10000000";
        if (BaseParallel is < 1 or > 64)
            yield return "archive:baseParallel must be between 1 and 64";
        if (OrderRetry < TimeSpan.FromMilliseconds(10))
            yield return "archive:orderRetry must be at least 10 ms";
        if (SchemaQuiet < TimeSpan.Zero)
            yield return "archive:schemaQuiet must not be negative";
    }
}
