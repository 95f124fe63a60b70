using System.Globalization;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

/// <summary>The log on stderr, one line per event: time, level, the event's number, the words.
/// Under systemd the journal knows the time, and wants the level as a number in front.</summary>
/// <param name="brief">Just the words: for a verb whose user waits for it.</param>
sealed class LineLogger(Terminal terminal, LogLevel least, bool brief, TimeProvider clock) : ILoggerProvider
{
    readonly bool _journal = !terminal.IsInteractive && Environment.GetEnvironmentVariable("JOURNAL_STREAM") is { Length: > 0 };

    public ILogger CreateLogger(string categoryName) =>
        // Hosting and MassTransit speak of themselves; what goes wrong there ends the verb, and is reported then.
        new Category(this, categoryName.StartsWith("CrmBackup", StringComparison.Ordinal) || least <= LogLevel.Debug ? least : LogLevel.None);

    public void Dispose()
    {
    }

    void Write(LogLevel level, EventId id, string words, Exception? failure)
    {
        if (failure is not null)
            words = least <= LogLevel.Debug ? $"{words}{Environment.NewLine}{failure}" : $"{words}: {failure.Message.ReplaceLineEndings(" ")}";
        words = Terminal.Plain(words);
        var number = id.Id == 0 ? "" : $"[{id.Id}] ";
        var line = _journal ? $"<{JournalLevel(level)}>{number}{words}"
            : brief ? level >= LogLevel.Warning ? $"{Word(level).Trim()}: {words}" : words
            : string.Create(CultureInfo.InvariantCulture, $"{clock.GetUtcNow():yyyy-MM-dd HH:mm:ss.fff}Z {Word(level)} {number}{words}");
        terminal.WriteLog(line);
    }

    static string Word(LogLevel level) => level switch
    {
        LogLevel.Trace or LogLevel.Debug => "debug",
        LogLevel.Information => "info ",
        LogLevel.Warning => "warn ",
        _ => "error",
    };

    static int JournalLevel(LogLevel level) => level switch
    {
        LogLevel.Trace or LogLevel.Debug => 7,
        LogLevel.Information => 6,
        LogLevel.Warning => 4,
        _ => 3,
    };

    sealed class Category(LineLogger log, LogLevel least) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= least && logLevel != LogLevel.None;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
                log.Write(logLevel, eventId, formatter(state, exception), exception);
        }
    }
}
