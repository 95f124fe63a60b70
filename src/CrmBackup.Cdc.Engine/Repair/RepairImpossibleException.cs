using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What the vault knows of a table cannot be compared with the source: the table is read anew.</summary>
sealed class RepairImpossibleException(string why) : BackupException(why, "Nothing need be done: the table is read anew.");
