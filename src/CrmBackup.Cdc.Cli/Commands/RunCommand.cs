using System.CommandLine;
using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;

namespace CrmBackup.Cdc.Cli;

sealed class RunCommand : Verb
{
    /// <summary>Blocks of 1 MiB between the two loops: one flush.</summary>
    const int BlocksWaitingMax = 32;

    static readonly Option<bool> _once = new("--once")
    {
        Description = "Catch up to now, settle, verify, and end: for cron and timers, also when the medium is plugged in only then",
    };

    public RunCommand()
        : base("run", "Protects the source: capture and archive in one process, until stopped")
    {
        Options.Add(SharedOptions.Source);
        Options.Add(SharedOptions.Vault);
        Options.Add(SharedOptions.Broker);
        Options.Add(SharedOptions.Flush);
        Options.Add(SharedOptions.PrivateKey);
        Options.Add(SharedOptions.Parity);
        Options.Add(_once);
    }

    public override bool IsLongRunning => true;

    public override IReadOnlyList<string> Examples =>
    [
        "crmbackup run --source \"Host=db;Database=crm;Username=crmbackup\" --vault /backup/crm",
        "crmbackup run --once --source \"Host=db;Database=crm;Username=crmbackup\" --vault /backup/crm",
    ];

    /// <summary>Once means now: a medium that does not take data then is an error.</summary>
    public override async Task<int> RunAsync(Invocation invocation, CancellationToken stop)
    {
        // A source that is not named is wrong usage, wherever the vault may be.
        var source = invocation.Settings.SourceConnection;
        return invocation.Get(_once)
            ? await ProtectAsync(invocation, source, await invocation.OpenVaultAsync(stop), stop)
            : await new VaultPatience(invocation, (vault, ending) => ProtectAsync(invocation, source, vault, ending)).RunAsync(stop);
    }

    static async Task<int> ProtectAsync(Invocation invocation, string connection, BackupVault vault, CancellationToken stop)
    {
        var headBefore = vault.State.Head;
        // Said now, before anything waits for a source that is another vault's, or puts the archive of the true one out of work.
        await using (await SourceMessage.OpenSourceAsync(connection, vault, stop))
        {
        }
        using var key = invocation.Settings.Keys.Private();
        using var writer = await ArchiveCommand.OpenWriterAsync(invocation, vault, key, stop);
        await using IChangeLog log = invocation.Settings.Broker.Uri is null
            ? new InProcessChangeLog(BlocksWaitingMax)
            : new RabbitChangeLog(
                invocation.Settings.Broker.For(vault.Identity.Id), invocation.Clock, invocation.Logging.CreateLogger<RabbitChangeLog>());
        var archive = ArchiveCommand.Loop(invocation, vault, writer, log);
        var capture = CaptureCommand.Loop(invocation, log);
        invocation.Log.Protecting(vault.Identity.Database, vault.Medium.Location);
        await using var plane = Settling.Plane(invocation, vault);
        Settling.Worker(invocation, vault, plane, alone: false);
        var settle = Settling.Loop(invocation, vault, plane, archive.CommitSettledAsync);
        var loops = new LongRunning(invocation).Add(plane).Add(archive.RunAsync).Add(capture.RunAsync)
            .Add(ending => ArchiveCommand.RememberAsync(invocation, vault, ending));
        if (!invocation.Get(_once))
            return await loops.Add(settle.RunAsync).RunAsync(stop);
        var caughtUp = false;
        var ended = await loops.Add(async ending => caughtUp = await CatchUpAsync(invocation, vault, archive, settle, ending)).RunAsync(stop);
        return caughtUp ? await VerifyAsync(invocation, vault, headBefore, stop) : ended;
    }

    /// <returns>True when everything that was committed at the beginning is durable, based and settled.</returns>
    static async Task<bool> CatchUpAsync(
        Invocation invocation, BackupVault vault, ArchiveLoop archive, SettleLoop settle, CancellationToken stop)
    {
        await using var source = await SourceMessage.OpenSourceAsync(invocation.Settings.SourceConnection, vault, stop);
        var until = await SourceMessage.BarrierAsync(source, $"once {Environment.ProcessId}", stop);
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(100), invocation.Clock);
        // What the vault itself could give back counts, not what the archive is about to write.
        while (!archive.IsProtecting || archive.Durable is not { } durable || durable.Lsn < until || !(Coverage.Of(vault.State).Latest?.Lsn >= until))
            await look.WaitForNextTickAsync(stop);
        await settle.SettleAllAsync(stop);
        return true;
    }

    static async Task<int> VerifyAsync(Invocation invocation, BackupVault vault, long newSince, CancellationToken stop)
    {
        var report = await VaultVerification.RunAsync(vault.Medium, segmentsAddedAfter: newSince, trust: vault.Trust, stop: stop);
        foreach (var damage in report.Damage)
            invocation.Log.Damaged(damage.Path, damage.What);
        return (int)report.ExitCode;
    }
}
