using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class ArchiveCommand : Verb
{
    public ArchiveCommand()
        : base("archive", "Writes what capture sends over the broker into the vault, until stopped")
    {
        Options.Add(SharedOptions.Vault);
        Options.Add(SharedOptions.Broker);
        Options.Add(SharedOptions.Source);
        Options.Add(SharedOptions.Flush);
    }

    public override bool IsLongRunning => true;

    public override IReadOnlyList<string> Examples => ["crmbackup archive --vault /backup/crm --broker amqp://crmbackup@mq.example/"];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        _ = invocation.Settings.Broker.For(Guid.Empty);
        var vault = await invocation.OpenVaultAsync(stop);
        using var writer = await OpenWriterAsync(invocation, vault, stop);
        await using var log = new RabbitChangeLog(
            invocation.Settings.Broker.For(vault.Identity.Id), invocation.Clock, invocation.Logging.CreateLogger<RabbitChangeLog>());
        var archive = Loop(invocation, vault, writer, log);
        await using var plane = Settling.Plane(invocation, vault);
        var settle = Settling.Loop(invocation, vault, plane, archive.CommitSettledAsync);
        return await new LongRunning(invocation).Add(plane).Add(archive.RunAsync).Add(settle.RunAsync).RunAsync(stop);
    }

    internal static Task<VaultWriter> OpenWriterAsync(Invocation invocation, BackupVault vault, CancellationToken stop) =>
        VaultWriter.OpenAsync(vault, invocation.Clock, Environment.MachineName, Environment.ProcessId, stop);

    internal static ArchiveLoop Loop(Invocation invocation, BackupVault vault, VaultWriter writer, IChangeLog log) =>
        new(vault, writer, log, invocation.Settings.Archive, invocation.Clock, invocation.Logging.CreateLogger<ArchiveLoop>());
}
