using System.Text;

namespace CrmBackup.Cdc.Cli;

/// <summary>The two streams: <paramref name="data"/> (stdout) is what the verb was asked for, <paramref name="log"/> (stderr) all else.</summary>
sealed class Terminal(TextWriter data, TextWriter log)
{
    Action<string>? _over;

    /// <summary>On a terminal without control characters: names and values out of a database or a vault are anybody's.</summary>
    public TextWriter Data { get; } = ReferenceEquals(data, Console.Out) && !Console.IsOutputRedirected ? new PlainText(data) : data;

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

    /// <summary>What a line may hold on a terminal.</summary>
    public static string Plain(string text) =>
        text.Any(IsCommand) ? string.Concat(text.Select(letter => IsCommand(letter) ? '?' : letter)) : text;

    static bool IsCommand(char letter) => char.IsControl(letter) && letter is not ('\n' or '\t');

    sealed class PlainText(TextWriter below) : TextWriter
    {
        public override Encoding Encoding => below.Encoding;

        public override void Write(char value) => below.Write(IsCommand(value) ? '?' : value);

        public override void Write(string? value) => below.Write(Plain(value ?? ""));

        public override void Flush() => below.Flush();
    }

    sealed class Ending(Action end) : IDisposable
    {
        public void Dispose() => end();
    }
}
