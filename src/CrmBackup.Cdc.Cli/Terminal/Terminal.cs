namespace CrmBackup.Cdc.Cli;

/// <summary>The two streams: <paramref name="data"/> (stdout) is what the verb was asked for, <paramref name="log"/> (stderr) all else.</summary>
sealed class Terminal(TextWriter data, TextWriter log)
{
    Action<string>? _over;

    public TextWriter Data { get; } = data;

    public TextWriter Log { get; } = TextWriter.Synchronized(log);

    /// <summary>Somebody is watching, and wants colours and moving bars.</summary>
    public bool IsInteractive { get; } = ReferenceEquals(log, Console.Error) && !Console.IsErrorRedirected
        && Environment.GetEnvironmentVariable("TERM") is not "dumb";

    public bool HasColour => IsInteractive && Environment.GetEnvironmentVariable("NO_COLOR") is not { Length: > 0 };

    public void WriteLog(string line)
    {
        if (_over is { } over)
            over(line);
        else
            Log.WriteLine(line);
    }

    /// <summary>While something moves at the bottom of the terminal, lines are written above it.</summary>
    public IDisposable Over(Action<string> write)
    {
        _over = write;
        return new Ending(() => _over = null);
    }

    /// <summary>Reads a yes or no; no where nobody can answer.</summary>
    public bool Confirm(string question)
    {
        if (!IsInteractive || Console.IsInputRedirected)
            return false;
        Log.Write($"{question} [y/N] ");
        return Console.ReadLine()?.Trim() is "y" or "Y" or "yes";
    }

    sealed class Ending(Action end) : IDisposable
    {
        public void Dispose() => end();
    }
}
