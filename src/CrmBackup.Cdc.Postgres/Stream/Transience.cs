using System.Net.Sockets;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Which failures a server that restarts, fails over or is cut off explains: worth another try. Anything else is not understood,
/// and must not be retried.</summary>
public static class Transience
{
    public static bool IsTransient(Exception failure) => failure switch
    {
        ServerUnreachableException => true,
        // The slot was taken between our looking and our asking: looking again says by whom.
        PostgresException { SqlState: PostgresErrorCodes.ObjectInUse } => true,
        PostgresException spoken => spoken.SqlState
            is PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown or PostgresErrorCodes.CannotConnectNow
            or PostgresErrorCodes.TooManyConnections || spoken.SqlState.StartsWith("08", StringComparison.Ordinal),
        // A walsender that shuts down ends its COPY with CommandComplete; Npgsql 10 has no better word for it.
        NpgsqlException when failure.Message.StartsWith("Received backend message CommandComplete while expecting CopyData",
            StringComparison.Ordinal) => true,
        NpgsqlException => failure.InnerException is { } inner && IsTransient(inner),
        IOException or SocketException or TimeoutException => true,
        _ => false,
    };
}
