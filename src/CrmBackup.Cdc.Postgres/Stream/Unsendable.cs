using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>A value whose text is larger than 1 GB, PostgreSQL's limit for whatever it sends: it can be stored (a bytea has two letters for a
/// byte), and neither the stream nor COPY can carry it as text.</summary>
public static class Unsendable
{
    public static bool Is(PostgresException failure) => failure.SqlState is PostgresErrorCodes.ProgramLimitExceeded
        // The server finds no better word for a request above its largest allocation.
        || (failure.SqlState == PostgresErrorCodes.InternalError && failure.MessageText.StartsWith("invalid memory alloc request size", StringComparison.Ordinal));

    public static string InWords(PostgresException failure) =>
        $"a row's text is larger than the 1 GB that PostgreSQL can send, as of a bytea over 512 MiB ({failure.MessageText})";
}
