using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>What the product says, among what happens; kept where the whole trace is.</summary>
sealed class TraceLogger<T>(World world, string process) : ILogger<T>
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        world.Trace.Note(() => $"{process} says {eventId.Id}: {formatter(state, exception)}");
}
