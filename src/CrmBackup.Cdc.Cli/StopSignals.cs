using System.Runtime.InteropServices;

namespace CrmBackup.Cdc.Cli;

/// <summary>SIGINT and SIGTERM ask the verb to finish: it flushes and ends by itself. A second one ends the process at once,
/// which loses nothing either, but leaves work to do again.</summary>
sealed class StopSignals : IDisposable
{
    readonly CancellationTokenSource _stop = new();
    readonly PosixSignalRegistration[] _registrations;
    int _asked;

    public StopSignals() =>
        _registrations = [.. new[] { PosixSignal.SIGINT, PosixSignal.SIGTERM }.Select(
            signal => PosixSignalRegistration.Create(signal, Ask))];

    public CancellationToken Token => _stop.Token;

    void Ask(PosixSignalContext context)
    {
        if (Interlocked.Exchange(ref _asked, 1) == 1)
            return;
        context.Cancel = true;
        _stop.Cancel();
    }

    public void Dispose()
    {
        foreach (var registration in _registrations)
            registration.Dispose();
        _stop.Dispose();
    }
}
