using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;

namespace CrmBackup.Cdc.Cli;

sealed class MarkCommand : Verb
{
    readonly Argument<string> _name = new("name") { Description = "What to call this moment; 'restore --to mark:NAME' comes back to it" };
    readonly Option<bool> _noWait = new("--no-wait") { Description = "Return without waiting until the mark is durable" };

    public MarkCommand()
        : base("mark", "Names this moment, as a restore point. In the CRM's own transaction: SELECT crmbackup.mark('NAME')")
    {
        Arguments.Add(_name);
        Options.Add(SharedOptions.Source);
        Options.Add(SharedOptions.Vault);
        Options.Add(WaitCommand.Timeout);
        Options.Add(_noWait);
    }

    public override IReadOnlyList<string> Examples =>
        ["crmbackup mark before-import --source \"Host=db;Database=crm;Username=backup\" --vault /backup/crm"];

    sealed record Marked(string Name, Lsn Lsn, Lsn? DurableLsn);

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var name = invocation.Get(_name)!;
        var connection = invocation.Settings.SourceConnection;
        var vault = await invocation.OpenVaultAsync(stop);
        await using var source = await SourceMessage.OpenSourceAsync(connection, vault, stop);
        var lsn = await SourceMessage.MarkAsync(source, name, stop);
        var durable = invocation.Get(_noWait) ? null
            : await new DurabilityWait(vault, invocation.Clock).UntilAsync(lsn, invocation.Get(WaitCommand.Timeout) ?? WaitCommand.Patience, stop);
        invocation.Answer(new Marked(name, lsn, durable?.DurableLsn), output => output.WriteLine(
            $"mark {name} stands at {lsn}{(durable is null ? "" : ", durable")}; come back to it with --to {(name.Contains(' ', StringComparison.Ordinal) ? $"\"mark:{name}\"" : $"mark:{name}")}"));
        return (int)ExitCode.Done;
    }
}
