namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>A rule of DESIGN broken on purpose, by what stands around the product's code. The simulator must notice each.</summary>
enum Mutation
{
    None,
    /// <summary>Rule 7: the slot is told when a block arrives, not when it is durable.</summary>
    ConfirmBeforeCommit,
    /// <summary>Rule 7: the broker's word is taken for durability.</summary>
    ConfirmOnPublish,
    FileSyncSkipped,
    FolderSyncSkipped,
    CreateByCheckThenRename,
    TornCommitAccepted,
    /// <summary>Rule 1.</summary>
    DedupeByRowLsn,
    /// <summary>Rule 1.</summary>
    SlotAheadAccepted,
    /// <summary>Rule 1: the stream begins at the vault's end, whoever's it is.</summary>
    HistoryNotProven,
    /// <summary>A slot made anew is taken for one of the same history.</summary>
    ServerRunIgnored,
    /// <summary>Rule 10.</summary>
    TimelineIgnored,
    /// <summary>Rule 8.</summary>
    DropByBlockNumber,
    /// <summary>Rule 8.</summary>
    EpochIgnored,
    /// <summary>Rule 8.</summary>
    MissingBlockAccepted,
    SettleRemovesBeforeCheck,
    PruneWithoutGrace,
    SequenceReadBeforeCommit,
    /// <summary>Rule 4.</summary>
    BaseDoesNotWait,
    /// <summary>Rule 4.</summary>
    SnapshotTakenAfterRows,
    /// <summary>Rule 4, of a repair by difference.</summary>
    ComparedUnderAnotherSnapshot,
    /// <summary>A repair by difference.</summary>
    DifferingRangeTakenAsEqual,
}
