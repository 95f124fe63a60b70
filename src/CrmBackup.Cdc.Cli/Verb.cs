using System.CommandLine;

namespace CrmBackup.Cdc.Cli;

/// <summary>One verb, one file. Everything it needs comes with the <see cref="Invocation"/>; what it answers is the exit code.</summary>
abstract class Verb(string name, string description) : Command(name, description)
{
    /// <summary>Shown by <c>--help</c>.</summary>
    public abstract IReadOnlyList<string> Examples { get; }

    /// <summary>Works until it is stopped, under a supervisor: its log lines carry the time.</summary>
    public virtual bool IsLongRunning => false;

    public abstract Task<int> RunAsync(Invocation invocation, CancellationToken stop);
}
