using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>Blocks already handed over may not have arrived. Transient: nothing is lost, the slot still holds it all.</summary>
public sealed class ChangeLogInterruptedException(string message, Exception? inner = null)
    : BackupException(message, "Nothing is lost: capture goes on by itself when the broker answers again and the archive asks.", inner: inner);
