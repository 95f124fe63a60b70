using System.Text.RegularExpressions;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>A statement that the target did not take.</summary>
/// <param name="Minor">Owner, grant or label of a role that is not there, or what stands there already: nothing that holds or proves rows.</param>
public sealed record ScriptViolation(string Statement, string SqlState, string Message, bool Minor);

/// <summary>Runs a schema script statement by statement. What fails is collected; the rest still runs.</summary>
public static partial class ScriptRunner
{
    /// <param name="script">As pg_dump wrote it; our own objects are left out.</param>
    /// <param name="eventTriggers">Event triggers alone, which fire for whatever is done after them; else all but them.</param>
    public static async Task<IReadOnlyList<ScriptViolation>> RunAsync(
        NpgsqlConnection connection, string script, bool eventTriggers, Action<int, int>? progress, CancellationToken stop)
    {
        var statements = SqlStatements.Split(script).Where(statement => !IsOurs(statement)
            && (EventTrigger().IsMatch(statement) == eventTriggers || Setting().IsMatch(statement))).ToList();
        var violations = new List<ScriptViolation>();
        for (var i = 0; i < statements.Count; i++)
        {
            if (await TryAsync(connection, statements[i], stop) is { } violation)
                violations.Add(violation);
            progress?.Invoke(i + 1, statements.Count);
        }
        return violations;
    }

    public static async Task<ScriptViolation?> TryAsync(NpgsqlConnection connection, string statement, CancellationToken stop)
    {
        try
        {
            await ExecuteAsync(connection, statement, stop);
            return null;
        }
        catch (PostgresException failure) when (connection.State == System.Data.ConnectionState.Open)
        {
            var message = failure.Detail is { Length: > 0 } detail ? $"{failure.MessageText} ({detail})" : failure.MessageText;
            return new ScriptViolation(statement, failure.SqlState, message, IsMinor(statement, failure.SqlState));
        }
    }

    public static async Task ExecuteAsync(NpgsqlConnection connection, string statement, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(SqlStatements.AsOneCommand(statement), connection) { CommandTimeout = 0 };
        await command.ExecuteNonQueryAsync(stop);
    }

    /// <summary>What <c>init</c> made: it belongs to the source, not to the data.</summary>
    static bool IsOurs(string statement) => Ours().IsMatch(statement);

    static bool IsMinor(string statement, string sqlState) =>
        sqlState is PostgresErrorCodes.DuplicateSchema or PostgresErrorCodes.DuplicateObject
        || Privileges().IsMatch(statement)
            && sqlState is PostgresErrorCodes.UndefinedObject or PostgresErrorCodes.InsufficientPrivilege
        || statement.StartsWith("SET ", StringComparison.Ordinal) && sqlState == PostgresErrorCodes.UndefinedObject;

    [GeneratedRegex(@"^(CREATE|ALTER|COMMENT ON|GRANT\s.*\sON|REVOKE\s.*\sON|SECURITY LABEL\s.*\sON)\s+(SCHEMA\s+crmbackup\b|PUBLICATION\s+""?crmbackup|"
        + @"EVENT TRIGGER\s+""?crmbackup_|(TABLE|FUNCTION)\s+crmbackup\.)", RegexOptions.Singleline)]
    private static partial Regex Ours();

    [GeneratedRegex(@"^(CREATE|ALTER|COMMENT ON|SECURITY LABEL\s.*\sON)\s+EVENT\s+TRIGGER\s", RegexOptions.Singleline)]
    private static partial Regex EventTrigger();

    [GeneratedRegex(@"^(SET\s|SELECT pg_catalog\.set_config)")]
    private static partial Regex Setting();

    [GeneratedRegex(@"^(GRANT|REVOKE|ALTER DEFAULT PRIVILEGES|SECURITY LABEL|SET SESSION AUTHORIZATION)\s|^ALTER\s.*\sOWNER TO\s", RegexOptions.Singleline)]
    private static partial Regex Privileges();
}
