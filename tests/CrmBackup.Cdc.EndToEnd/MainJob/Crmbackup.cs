using System.Diagnostics;
using System.Text;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>The program itself, run as its users run it.</summary>
static class Crmbackup
{
    static readonly string _program = Path.Combine(AppContext.BaseDirectory, "crmbackup.dll");
    static readonly string _state = MakeState();

    /// <summary>Of all processes of this run: init, run and restore are one machine's.</summary>
    static string MakeState()
    {
        var state = Directory.CreateTempSubdirectory("crmbackup-state-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(state, recursive: true);
        return state;
    }

    public sealed record Result(int ExitCode, string Output, string Errors)
    {
        public Result MustBe(int exitCode) => ExitCode == exitCode ? this
            : throw new InvalidOperationException($"crmbackup ended with {ExitCode}, not {exitCode}\n{Output}\n{Errors}");
    }

    public static async Task<Result> RunAsync(params string[] arguments)
    {
        await using var running = Start(new Dictionary<string, string>(), arguments);
        return await running.EndAsync(TimeSpan.FromMinutes(15));
    }

    public static Running Start(IReadOnlyDictionary<string, string> environment, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", ["exec", _program, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        start.Environment["CRMBACKUP__STATE"] = _state;
        // Hundreds of short processes: what each would compile anew to run faster costs more than it gives.
        start.Environment["DOTNET_TieredPGO"] = "0";
        start.Environment["DOTNET_TC_CallCountThreshold"] = "800";
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        return new Running(Process.Start(start)!, string.Join(' ', arguments.Take(1)));
    }

    /// <summary>A running verb. Disposing kills it.</summary>
    public sealed class Running : IAsyncDisposable
    {
        readonly Process _process;
        readonly StringBuilder _output = new();
        readonly StringBuilder _errors = new();
        readonly string _verb;

        internal Running(Process process, string verb)
        {
            (_process, _verb) = (process, verb);
            process.OutputDataReceived += (_, line) => Append(_output, line.Data);
            process.ErrorDataReceived += (_, line) => Append(_errors, line.Data);
            process.BeginOutputReadLine();
            process.BeginErrorReadLine();
        }

        public int Id => _process.Id;

        public bool HasEnded => _process.HasExited;

        public string Errors
        {
            get
            {
                lock (_errors)
                    return _errors.ToString();
            }
        }

        public string Output
        {
            get
            {
                lock (_output)
                    return _output.ToString();
            }
        }

        public async Task<Result> EndAsync(TimeSpan within)
        {
            using var limit = new CancellationTokenSource(within);
            try
            {
                await _process.WaitForExitAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                throw new TimeoutException($"crmbackup {_verb} still runs after {within}\n{Output}\n{Errors}");
            }
            return new Result(_process.ExitCode, Output, Errors);
        }

        /// <summary>SIGTERM, as systemd stops a unit.</summary>
        public Task<Result> StopAsync()
        {
            Signals.Send(_process.Id, Signals.Terminate);
            return EndAsync(TimeSpan.FromSeconds(60));
        }

        /// <summary>SIGSTOP: it takes part in nothing until <see cref="Thaw"/>, and keeps all that it holds.</summary>
        public void Freeze() => Signals.Send(_process.Id, Signals.Stop);

        public void Thaw() => Signals.Send(_process.Id, Signals.Continue);

        /// <summary>kill -9 to it alone: what it had started lives on.</summary>
        public Task KillAloneAsync()
        {
            Signals.Send(_process.Id, Signals.Kill);
            return _process.WaitForExitAsync();
        }

        public async Task KillAsync()
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }

        public async ValueTask DisposeAsync()
        {
            if (!_process.HasExited)
                await KillAsync();
            _process.Dispose();
        }

        static void Append(StringBuilder text, string? line)
        {
            if (line is not null)
                lock (text)
                    text.AppendLine(line);
        }
    }
}
