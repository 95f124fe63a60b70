using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The server ended the stream with an error of its own. At the same position again, for the same reason, it always will.</summary>
/// <param name="at">End of the last transaction that came.</param>
public sealed class StreamRefusedException(Lsn at, PostgresException inner) : BackupException(
    Unsendable.Is(inner) ? Unsendable.InWords(inner) : inner.MessageText, "See the server's log.", ExitCode.Failed, inner)
{
    public Lsn At { get; } = at;

    public string SqlState { get; } = inner.SqlState;

    /// <summary>Decoding looks for the publication as it was at each change.</summary>
    public bool PublicationIsMissing => SqlState == PostgresErrorCodes.UndefinedObject && Message.Contains("publication", StringComparison.Ordinal);
}
