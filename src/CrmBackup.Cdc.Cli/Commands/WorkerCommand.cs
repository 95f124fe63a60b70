using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Cli;

sealed class WorkerCommand : Verb
{
    public WorkerCommand()
        : base("worker", "Does the archive's settle jobs, in competition with other workers, until stopped")
    {
        Options.Add(SharedOptions.Vault);
        Options.Add(SharedOptions.Broker);
    }

    public override bool IsLongRunning => true;

    public override IReadOnlyList<string> Examples => ["crmbackup worker --vault /backup/crm --broker amqp://crmbackup@mq.example/"];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        _ = invocation.Settings.Broker.For(Guid.Empty);
        return await new VaultPatience(invocation, (vault, ending) => WorkAsync(invocation, vault, ending), writes: false).RunAsync(stop);
    }

    static async Task<int> WorkAsync(Invocation invocation, BackupVault vault, CancellationToken stop)
    {
        await using var plane = Settling.Plane(invocation, vault);
        var worker = Settling.Worker(invocation, vault, plane, alone: true);
        return await new LongRunning(invocation).Add(plane).Add(worker.WhileTakingDataAsync).RunAsync(stop);
    }
}
