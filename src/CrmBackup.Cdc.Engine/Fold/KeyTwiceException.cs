using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>One snapshot of the source shows two rows under one key: the index that should have refused the second is damaged there. The
/// vault is sound; which of the rows a later event means nobody can tell, until the table is emptied.</summary>
sealed class KeyTwiceException(string table, string key) : BackupException(
    $"{table} has two rows with the key {key}: on the source the index of its key is damaged",
    "Restore the other tables with --table. On the source remove one of the rows, REINDEX, and fill the table anew in one transaction (a copy, TRUNCATE, INSERT): from there on it is exact again.");
