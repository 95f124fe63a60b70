using System.Net.Sockets;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The server cannot be reached, or does not take connections now. Worth another try later.</summary>
public sealed class ServerUnreachableException(string message, string hint, Exception inner)
    : BackupException(message, hint, ExitCode.Failed, inner);

/// <summary>Opens connections as all of ours are: named, canonical, kept alive, not pooled, with errors in words.</summary>
public static class SourceConnection
{
    public const string ApplicationName = "crmbackup";

    /// <summary>The oldest server whose stream and catalogs we know.</summary>
    public const int OldestMajor = 14;

    /// <summary>The settings with everything of ours added. The given ones are not changed.</summary>
    public static NpgsqlConnectionStringBuilder Canonical(NpgsqlConnectionStringBuilder settings) => new(settings.ConnectionString)
    {
        ApplicationName = ApplicationName,
        Options = CanonicalSettings.Options,
        Pooling = false,
        Enlist = false,
        Multiplexing = false,
        // COPY and DDL take as long as they take; who waits passes a token.
        CommandTimeout = 0,
        TcpKeepAlive = true,
        TcpKeepAliveTime = 30,
        TcpKeepAliveInterval = 10,
    };

    /// <param name="text">Npgsql connection string or <c>postgres://</c> URI.</param>
    /// <param name="option">The option that the text came from: named in errors.</param>
    public static Task<NpgsqlConnection> OpenAsync(string text, CancellationToken stop, string option = "--source") =>
        OpenAsync(ConnectionText.Parse(text, option), stop, option);

    /// <exception cref="ServerUnreachableException">No answer, starting up, shutting down or full.</exception>
    /// <exception cref="UsageException">No such database or user, or a wrong password.</exception>
    /// <exception cref="RefusedException">The server is older than 14.</exception>
    public static async Task<NpgsqlConnection> OpenAsync(
        NpgsqlConnectionStringBuilder settings, CancellationToken stop, string option = "--source")
    {
        var connection = new NpgsqlConnection(Canonical(settings).ConnectionString);
        try
        {
            await connection.OpenAsync(stop);
            if (connection.PostgreSqlVersion.Major < OldestMajor)
                throw new RefusedException(
                    $"{ConnectionText.Describe(settings)} is PostgreSQL {connection.PostgreSqlVersion}",
                    $"Versions {OldestMajor} to 18 are supported: upgrade the server.");
            await LiftTransactionTimeoutAsync(connection, stop);
            return connection;
        }
        catch (Exception failure)
        {
            await connection.DisposeAsync();
            if (InWords(failure, settings, option) is { } spoken)
                throw spoken;
            throw;
        }
    }

    /// <summary>17 brought <c>transaction_timeout</c>; older servers refuse the name, so it cannot stand in the startup packet.</summary>
    static async Task LiftTransactionTimeoutAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        if (connection.PostgreSqlVersion.Major < 17)
            return;
        await using var command = new NpgsqlCommand("SET transaction_timeout = 0", connection);
        await command.ExecuteNonQueryAsync(stop);
    }

    /// <summary>The failure to connect as one line with a hint; null when it is not one that we know.</summary>
    public static BackupException? InWords(Exception failure, NpgsqlConnectionStringBuilder settings, string option = "--source")
    {
        var where = ConnectionText.Describe(settings);
        return failure switch
        {
            PostgresException refused => Refused(refused, where, option),
            NpgsqlException { InnerException: (SocketException or TimeoutException or IOException) and { } cause } =>
                new ServerUnreachableException(
                    $"cannot reach PostgreSQL at {where}: {cause.Message}",
                    $"Check host and port in {option}, that the server runs and listens there, and the firewall.", failure),
            NpgsqlException other when other.Message.Contains("password", StringComparison.OrdinalIgnoreCase) =>
                new UsageException($"no password for {where}", "Set PGPASSWORD, or add a line to ~/.pgpass (mode 0600)."),
            NpgsqlException other => new ServerUnreachableException(
                $"cannot connect to PostgreSQL at {where}: {other.Message}", $"Check {option} and the server's log.", failure),
            SocketException or TimeoutException => new ServerUnreachableException(
                $"cannot reach PostgreSQL at {where}: {failure.Message}",
                $"Check host and port in {option}, and that the server runs and listens there.", failure),
            _ => null,
        };
    }

    static BackupException? Refused(PostgresException failure, string where, string option) => failure.SqlState switch
    {
        PostgresErrorCodes.InvalidCatalogName => new UsageException(
            $"the database of {where} does not exist", $"Check the database's name in {option}."),
        PostgresErrorCodes.InvalidPassword => new UsageException(
            $"{where} was refused: {failure.MessageText}", "Check the password in PGPASSWORD or ~/.pgpass."),
        PostgresErrorCodes.InvalidAuthorizationSpecification => new UsageException(
            $"{where} was refused: {failure.MessageText}", $"Check the user in {option} and the server's pg_hba.conf."),
        PostgresErrorCodes.InsufficientPrivilege => new UsageException(
            $"{where} was refused: {failure.MessageText}", "Grant CONNECT on the database to that role."),
        // ALLOW_CONNECTIONS false: a restore in place is about to put another database in its place.
        PostgresErrorCodes.CannotConnectNow or PostgresErrorCodes.ObjectNotInPrerequisiteState => new ServerUnreachableException(
            $"{where} does not take connections now: {failure.MessageText}", "Try again when the server is up.", failure),
        PostgresErrorCodes.TooManyConnections => new ServerUnreachableException(
            $"{where} has no connection left: {failure.MessageText}",
            "Raise max_connections, or end idle sessions; crmbackup needs up to 6 connections.", failure),
        _ => null,
    };
}
