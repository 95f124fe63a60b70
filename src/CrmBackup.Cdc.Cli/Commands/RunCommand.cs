using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class RunCommand : Verb
{
    /// <summary>Blocks of 1 MiB between the two loops: one flush.</summary>
    const int BlocksWaitingMax = 32;

    public RunCommand()
        : base("run", "Protects the source: capture and archive in one process, until stopped")
    {
        Options.Add(SharedOptions.Source);
        Options.Add(SharedOptions.Vault);
        Options.Add(SharedOptions.Broker);
        Options.Add(SharedOptions.Flush);
    }

    public override bool IsLongRunning => true;

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup run --source \"Host=db;Database=crm;Username=crmbackup\" --vault /backup/crm",
    ];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var connection = invocation.Settings.SourceConnection;
        var vault = await invocation.OpenVaultAsync(stop);
        // Said now, before anything waits for a source that is another vault's.
        await using (await SourceMessage.OpenSourceAsync(connection, vault.Identity.Id, vault.Medium.Location, stop))
        {
        }
        using var writer = await ArchiveCommand.OpenWriterAsync(invocation, vault, stop);
        await using IChangeLog log = invocation.Settings.Broker.Uri is null
            ? new InProcessChangeLog(BlocksWaitingMax)
            : new RabbitChangeLog(
                invocation.Settings.Broker.For(vault.Identity.Id), invocation.Clock, invocation.Logging.CreateLogger<RabbitChangeLog>());
        var archive = ArchiveCommand.Loop(invocation, vault, writer, log);
        var capture = CaptureCommand.Loop(invocation, log);
        invocation.Log.Protecting(vault.Identity.Database, vault.Medium.Location);
        return await new LongRunning(invocation).Add(archive.RunAsync).Add(capture.RunAsync).RunAsync(stop);
    }
}
