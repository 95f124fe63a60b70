using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Cli;

/// <summary>Every failure ends here: one line that says what and where, one that says what to do, and the exit code.</summary>
static class ErrorReport
{
    public static ExitCode Write(Terminal terminal, Exception failure, bool verbose)
    {
        var (message, hint, code) = InWords(failure);
        var (red, plain) = terminal.HasColour ? ("\e[31m", "\e[0m") : ("", "");
        terminal.Log.WriteLine($"{red}crmbackup:{plain} {OneLine(message)}");
        if (hint.Length > 0)
            terminal.Log.WriteLine($"hint: {OneLine(hint)}");
        if (verbose && (failure is not BackupException || failure.InnerException is not null))
            terminal.Log.WriteLine(failure);
        return code;
    }

    static (string Message, string Hint, ExitCode Code) InWords(Exception failure) => failure switch
    {
        BackupException known => (known.Message, known.Hint, known.ExitCode),
        OperationCanceledException => ("stopped before the end", "Nothing is half done: run it again.", ExitCode.Failed),
        AggregateException { InnerExceptions: [var only] } => InWords(only),
        PostgresException { SqlState: PostgresErrorCodes.InsufficientPrivilege } denied => (
            $"PostgreSQL refused: {denied.MessageText}",
            "Let a superuser run 'crmbackup init --role NAME' and use that role, or let the DBA run what 'crmbackup init --dry-run' prints.",
            ExitCode.Failed),
        PostgresException other => (
            $"PostgreSQL refused: {other.MessageText} (SQLSTATE {other.SqlState})", other.Hint ?? "See the server's log; -v shows where.", ExitCode.Failed),
        NpgsqlException { InnerException: { } cause } lost => (
            $"the connection to PostgreSQL failed: {lost.Message}: {cause.Message}", "Check that the server runs, then run it again.", ExitCode.Failed),
        NpgsqlException lost => (
            $"the connection to PostgreSQL failed: {lost.Message}", "Check that the server runs, then run it again.", ExitCode.Failed),
        UnauthorizedAccessException denied => (
            denied.Message, "Check owner and mode of that path, and the user that crmbackup runs as.", ExitCode.Failed),
        IOException disk => (disk.Message, "Check the path, the medium and its free space.", ExitCode.Failed),
        _ => ($"unexpected {failure.GetType().Name}: {failure.Message}",
            "This is a defect of crmbackup: run it again with -v and report what it prints.", ExitCode.Failed),
    };

    static string OneLine(string text) => Terminal.Plain(string.Join(' ', text.Split(['\r', '\n', '\t'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)));
}
