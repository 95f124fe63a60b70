using System.CommandLine;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;

namespace CrmBackup.Cdc.Cli;

sealed class WaitCommand : Verb
{
    internal static readonly Option<TimeSpan?> Timeout = DurationOption.New("--timeout", "How long to wait", "60s");
    internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    readonly Option<bool> _protected = new("--protected") { Description = "Also wait until every table can be restored to that moment" };

    public WaitCommand()
        : base("wait", "Returns when everything committed on the source before this call is durable in the vault")
    {
        Options.Add(SharedOptions.Source);
        Options.Add(SharedOptions.Vault);
        Options.Add(Timeout);
        Options.Add(_protected);
        Options.Add(SharedOptions.PublicKey);
    }

    public override IReadOnlyList<string> Examples =>
        ["crmbackup wait --source \"Host=db;Database=crm;Username=backup\" --vault /backup/crm --timeout 60s --output json"];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var connection = invocation.Settings.SourceConnection;
        var vault = await invocation.OpenVaultAsync(stop);
        await using var source = await SourceMessage.OpenSourceAsync(connection, vault, stop);
        var lsn = await SourceMessage.BarrierAsync(source, $"wait {Environment.ProcessId}", stop);
        var wait = new DurabilityWait(vault, invocation.Clock);
        var patience = invocation.Get(Timeout) ?? Patience;
        var durable = await wait.UntilAsync(lsn, patience, stop);
        if (invocation.Get(_protected))
            durable = await wait.ProtectedAsync(durable, patience, stop);
        await invocation.RememberHeadAsync(vault, written: false, stop);
        invocation.Answer(durable, output =>
        {
            output.WriteLine($"{durable.Lsn} is durable: the vault covers up to {durable.DurableLsn}");
            output.WriteLine($"head {durable.Head}");
        });
        return (int)ExitCode.Done;
    }
}
