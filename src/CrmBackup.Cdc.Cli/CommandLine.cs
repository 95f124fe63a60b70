using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Cli;

/// <summary>The words of <c>crmbackup</c>: its verbs, what they share, and what happens to words that are not understood.</summary>
static class CommandLine
{
    /// <summary>The verbs in the order one meets them. A verb that is not here does not exist yet.</summary>
    static IEnumerable<Verb> Verbs() =>
    [
        new InitCommand(), new CheckCommand(), new RunCommand(), new CaptureCommand(), new ArchiveCommand(), new WorkerCommand(), new StatusCommand(),
        new PointsCommand(), new MarkCommand(), new WaitCommand(), new RestoreCommand(), new VerifyCommand(), new SettleCommand(),
        new SqlCommand(), new PruneCommand(), new KeysCommand(), new SalvageCommand(),
    ];

    public static async Task<int> RunAsync(IReadOnlyList<string> words, Terminal terminal, CancellationToken stop)
    {
        var root = Root(terminal);
        var parsed = root.Parse(words, new ParserConfiguration { ResponseFileTokenReplacer = null });
        var verbose = parsed.GetValue(SharedOptions.Verbose);
        try
        {
            if (parsed.Action is null or ParseErrorAction)
                throw NotUnderstood(parsed, root);
            var streams = new InvocationConfiguration
            {
                Output = terminal.Data,
                Error = terminal.Log,
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
            };
            return await parsed.InvokeAsync(streams, stop);
        }
        catch (Exception failure)
        {
            return (int)ErrorReport.Write(terminal, failure, verbose);
        }
    }

    static RootCommand Root(Terminal terminal)
    {
        var root = new RootCommand("Continuous backup for the PostgreSQL database under a CRM: every committed change, any moment back.");
        foreach (var option in SharedOptions.Everywhere)
            root.Options.Add(option);
        foreach (var verb in Verbs())
        {
            verb.SetAction((parsed, stop) => verb.RunAsync(new Invocation(parsed, terminal), stop));
            root.Subcommands.Add(verb);
        }
        foreach (var help in root.Options.OfType<HelpOption>())
            help.Action = new HelpWithExamples((HelpAction)help.Action!);
        return root;
    }

    /// <summary>The first thing wrong, in one line.</summary>
    static UsageException NotUnderstood(ParseResult parsed, RootCommand root)
    {
        var verb = parsed.CommandResult.Command;
        var help = verb == root ? "Run 'crmbackup --help'." : $"Run 'crmbackup {verb.Name} --help'.";
        if (parsed.UnmatchedTokens is [var word, ..])
        {
            IEnumerable<string> known = word.StartsWith('-')
                ? verb.Options.Concat(SharedOptions.Everywhere).Select(option => option.Name)
                : root.Subcommands.Select(other => other.Name);
            var meant = verb == root || word.StartsWith('-') ? $"Did you mean '{Nearest.To(word, known)}'? " : "";
            var kind = word.StartsWith('-') ? "option" : verb == root ? "verb" : "word";
            return new UsageException($"unknown {kind} '{word}'", meant + help);
        }
        return parsed.Tokens.Count == 0
            ? new UsageException("no verb is given", help)
            : new UsageException(parsed.Errors[0].Message.TrimEnd('.'), help);
    }

    /// <summary>What System.CommandLine prints, and below it how one calls the verb.</summary>
    sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            help.Invoke(parseResult);
            var output = parseResult.InvocationConfiguration.Output;
            if (parseResult.CommandResult.Command is Verb verb)
            {
                output.WriteLine("Examples:");
                foreach (var example in verb.Examples)
                    output.WriteLine($"  {example}");
            }
            else
                output.WriteLine(
                    """
                    Settings:
                      crmbackup.json (--config, or /etc/crmbackup/crmbackup.json), then CRMBACKUP__… in the environment, then options.

                    Exit codes:
                      0 done, 1 failed, 2 wrong usage, 3 refused (gap, lock, unsafe), 4 verification found a difference
                    """);
            output.WriteLine();
            return (int)ExitCode.Done;
        }
    }
}
