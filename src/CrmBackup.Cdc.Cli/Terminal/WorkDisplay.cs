using Spectre.Console;

namespace CrmBackup.Cdc.Cli;

/// <summary>How far some long work is.</summary>
/// <param name="Phase">For example "load".</param>
/// <param name="Item">The table or file at work.</param>
/// <param name="Done">Of <paramref name="Total"/>; 0 of 0 where there is nothing to count.</param>
readonly record struct WorkStep(string Phase, string? Item, long Done, long Total);

/// <summary>Shows long work on stderr: a bar per phase on a terminal, a plain line per phase otherwise.</summary>
static class WorkDisplay
{
    public static Task<T> ShowAsync<T>(Invocation invocation, Func<Action<WorkStep>, Task<T>> work)
    {
        if (invocation.IsQuiet)
            return work(_ => { });
        return invocation.Terminal.IsInteractive ? BarsAsync(invocation.Terminal, work) : work(new PlainLines(invocation.Terminal).Report);
    }

    static async Task<T> BarsAsync<T>(Terminal terminal, Func<Action<WorkStep>, Task<T>> work)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(terminal.Log),
            ColorSystem = terminal.HasColour ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
        });
        var progress = console.Progress().AutoClear(false)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn());
        T? result = default;
        await progress.StartAsync(async display =>
        {
            var bars = new Bars(display);
            using (terminal.Over(line => console.WriteLine(line)))
                result = await work(bars.Report);
            bars.Finish();
        });
        return result!;
    }

    sealed class PlainLines(Terminal terminal)
    {
        readonly Lock _lock = new();
        string? _phase;

        public void Report(WorkStep step)
        {
            lock (_lock)
                if (step.Phase != _phase)
                    terminal.WriteLog((_phase = step.Phase) + " …");
        }
    }

    /// <summary>One bar per phase; a phase without a count runs to and fro until the next begins.</summary>
    sealed class Bars(ProgressContext display)
    {
        readonly Lock _lock = new();
        ProgressTask? _bar;
        string? _phase;

        public void Report(WorkStep step)
        {
            lock (_lock)
            {
                if (_bar is null || step.Phase != _phase)
                {
                    Finish();
                    _phase = step.Phase;
                    _bar = display.AddTask(Markup.Escape(step.Phase), maxValue: 1).IsIndeterminate();
                }
                if (step.Total > 0)
                {
                    _bar.IsIndeterminate = false;
                    _bar.MaxValue = step.Total;
                    _bar.Value = Math.Max(_bar.Value, step.Done);
                }
                _bar.Description = Markup.Escape(step.Item is { } item ? $"{step.Phase} {item}" : step.Phase);
            }
        }

        public void Finish()
        {
            lock (_lock)
            {
                if (_bar is null)
                    return;
                _bar.IsIndeterminate = false;
                _bar.Value = _bar.MaxValue;
                _bar.Description = Markup.Escape(_phase!);
            }
        }
    }
}

/// <summary>Progress as it is reported, on the reporter's thread.</summary>
sealed class Reporting<T>(Action<T> report) : IProgress<T>
{
    public void Report(T value) => report(value);
}
