using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace CrmBackup.Cdc.Benchmarks;

/// <summary>A program that runs, with its clock. Disposing kills it.</summary>
sealed class Run : IAsyncDisposable
{
    readonly Process _process;
    readonly Stopwatch _clock = Stopwatch.StartNew();
    readonly StringBuilder _said = new();
    readonly string _name;

    /// <param name="output">A file for what it writes to stdout; null: kept, to be told when it fails.</param>
    public Run(IReadOnlyDictionary<string, string> environment, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        _name = $"{Path.GetFileName(program)} {string.Join(' ', arguments)}";
        _process = Process.Start(start)!;
        _process.StandardInput.Close();
        _process.OutputDataReceived += (_, line) => Keep(line.Data);
        _process.ErrorDataReceived += (_, line) => Keep(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public int Pid => _process.Id;

    public double Seconds => _clock.Elapsed.TotalSeconds;

    /// <summary>CPU-seconds so far, and those of the ended children it waited for.</summary>
    public double CpuSeconds => ProcessCpu.Seconds(Pid) ?? throw new InvalidOperationException($"{_name} has ended\n{Said}");

    public bool HasEnded => _process.HasExited;

    public string Said
    {
        get
        {
            lock (_said)
                return _said.ToString();
        }
    }

    /// <summary>Until it ends with 0.</summary>
    /// <returns>Its seconds.</returns>
    public async Task<double> EndAsync()
    {
        await _process.WaitForExitAsync();
        var seconds = Seconds;
        return _process.ExitCode == 0 ? seconds : throw new InvalidOperationException($"{_name} ended with {_process.ExitCode}\n{Said}");
    }

    /// <summary>Until it ends with 0.</summary>
    /// <returns>The most memory it had resident, in MiB; without its children.</returns>
    public async Task<double> EndPeakAsync()
    {
        var (ending, peak) = (EndAsync(), 0.0);
        // What it took in the last instant of its life is not seen.
        while (!ending.IsCompleted)
        {
            peak = ProcessCpu.PeakMebibytes(Pid) ?? peak;
            await Task.WhenAny(ending, Task.Delay(20));
        }
        await ending;
        return peak;
    }

    /// <summary>The most memory it has had resident so far, in MiB; without its children.</summary>
    public double PeakMebibytes => ProcessCpu.PeakMebibytes(Pid) ?? throw new InvalidOperationException($"{_name} has ended\n{Said}");

    /// <summary>SIGTERM, as systemd stops a unit; it must end with 0.</summary>
    public Task<double> StopAsync()
    {
        _ = Kill(Pid, 15);
        return EndAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{_name} ({Pid})");

    void Keep(string? line)
    {
        if (line is not null)
            lock (_said)
                _said.AppendLine(line);
    }

    [DllImport("libc", EntryPoint = "kill")]
    static extern int Kill(int process, int signal);
}
