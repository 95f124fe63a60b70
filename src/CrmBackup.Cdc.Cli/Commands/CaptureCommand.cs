using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class CaptureCommand : Verb
{
    public CaptureCommand()
        : base("capture", "Sends the source's changes to the broker, as the archive asks, until stopped")
    {
        Options.Add(SharedOptions.Source);
        Options.Add(SharedOptions.Broker);
        Options.Add(SharedOptions.Vault);
        Options.Add(SharedOptions.Flush);
    }

    public override bool IsLongRunning => true;

    public override IReadOnlyList<string> Examples =>
        ["crmbackup capture --source \"Host=db;Database=crm;Username=crmbackup\" --broker amqp://crmbackup@mq.example/"];

    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        var connection = invocation.Settings.SourceConnection;
        _ = invocation.Settings.Broker.For(Guid.Empty);
        var vault = await SourceMessage.VaultOfAsync(connection, stop);
        await using var log = new RabbitChangeLog(
            invocation.Settings.Broker.For(vault), invocation.Clock, invocation.Logging.CreateLogger<RabbitChangeLog>());
        return await new LongRunning(invocation).Add(Loop(invocation, log).RunAsync).RunAsync(stop);
    }

    internal static CaptureLoop Loop(Invocation invocation, IChangeLog log) => new(
        invocation.Settings.Capture with { Source = ConnectionText.Parse(invocation.Settings.SourceConnection) },
        log, invocation.Clock, invocation.Logging.CreateLogger<CaptureLoop>());
}
