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
        Options.Add(SharedOptions.PrivateKey);
        Options.Add(SharedOptions.Parity);
    }

    public override bool IsLongRunning => true;

    public override IReadOnlyList<string> Examples => ["crmbackup archive --vault /backup/crm --broker amqp://crmbackup@mq.example/"];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        _ = invocation.Settings.Broker.For(Guid.Empty);
        return await new VaultPatience(invocation, (vault, ending) => WriteAsync(invocation, vault, ending)).RunAsync(stop);
    }

    static async Task<int> WriteAsync(Invocation invocation, BackupVault vault, CancellationToken stop)
    {
        using var key = invocation.Settings.Keys.Private();
        using var writer = await OpenWriterAsync(invocation, vault, key, stop);
        await using var log = new RabbitChangeLog(
            invocation.Settings.Broker.For(vault.Identity.Id), invocation.Clock, invocation.Logging.CreateLogger<RabbitChangeLog>());
        var archive = Loop(invocation, vault, writer, log);
        await using var plane = Settling.Plane(invocation, vault);
        var settle = Settling.Loop(invocation, vault, plane, archive.CommitSettledAsync);
        return await new LongRunning(invocation).Add(plane).Add(archive.RunAsync).Add(settle.RunAsync)
            .Add(ending => RememberAsync(invocation, vault, ending)).RunAsync(stop);
    }

    internal static Task<VaultWriter> OpenWriterAsync(Invocation invocation, BackupVault vault, SigningKey? key, CancellationToken stop) =>
        VaultWriter.OpenAsync(
            vault, invocation.Clock, Environment.MachineName, Environment.ProcessId, stop, invocation.Logging.CreateLogger<VaultWriter>(), key);

    /// <summary>Remembers the head now and then while the archive works.</summary>
    internal static async Task RememberAsync(Invocation invocation, BackupVault vault, CancellationToken stop)
    {
        using var every = new PeriodicTimer(TimeSpan.FromSeconds(10), invocation.Clock);
        // Where it cannot, that is said once.
        while (await invocation.RememberHeadAsync(vault, written: true, stop))
            await every.WaitForNextTickAsync(stop);
        await Task.Delay(Timeout.InfiniteTimeSpan, invocation.Clock, stop);
    }

    internal static ArchiveLoop Loop(Invocation invocation, BackupVault vault, VaultWriter writer, IChangeLog log) =>
        new(vault, writer, log, invocation.Settings.Archive, invocation.Clock, invocation.Logging.CreateLogger<ArchiveLoop>());
}
