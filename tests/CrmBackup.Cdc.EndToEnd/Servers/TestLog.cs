using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>Shows what is logged in the test's output, and remembers it.</summary>
public sealed class TestLog(ITestOutputHelper output) : ILogger
{
    readonly ConcurrentQueue<string> _lines = [];
    readonly Stopwatch _since = Stopwatch.StartNew();

    public IReadOnlyCollection<string> Lines => _lines;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        var line = $"{_since.Elapsed.TotalSeconds,7:0.000} {logLevel} {eventId.Id} {formatter(state, exception)}";
        _lines.Enqueue(line);
        try
        {
            output.WriteLine(line);
        }
        catch (InvalidOperationException)
        {
            // The test is over, its program not yet.
        }
    }
}
