using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>The verbs, wired as the command line wires them.</summary>
sealed class Programs(World world)
{
    static readonly SettleOptions _settle = new() { Every = TimeSpan.FromSeconds(2) };
    static readonly SettleOptions _never = new() { Every = TimeSpan.FromDays(1000) };

    public async Task RunAsync(SimulatedProcess process)
    {
        var vault = await OpenAsync(process);
        using var writer = await WriterAsync(vault, process);
        await using var log = Mutated(new InProcessChangeLog(8));
        await EitherAsync(process, ArchiveAsync(vault, writer, log, process), Capture(process, log).RunAsync(process.Stop));
    }

    public async Task CaptureAsync(SimulatedProcess process)
    {
        await using var log = Mutated(world.Broker!.Connect(process));
        await Capture(process, log).RunAsync(process.Stop);
    }

    public async Task ArchiveAsync(SimulatedProcess process)
    {
        var vault = await OpenAsync(process);
        using var writer = await WriterAsync(vault, process);
        await using var log = Mutated(world.Broker!.Connect(process));
        await ArchiveAsync(vault, writer, log, process);
    }

    public async Task PruneAsync(SimulatedProcess process)
    {
        var clock = world.Options.Mutation == Mutation.PruneWithoutGrace ? new Ahead(process.Clock) : process.Clock;
        await VaultPrune.RunAsync(world.Medium(process), new PruneOptions(), clock, process.Stop);
    }

    sealed class Ahead(TimeProvider clock) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => clock.GetUtcNow().AddDays(2);
    }

    async Task<BackupVault> OpenAsync(SimulatedProcess process) =>
        await BackupVault.OpenAsync(world.Medium(process), process.Stop, TemporaryVault.Identity.Id);

    static Task<VaultWriter> WriterAsync(BackupVault vault, SimulatedProcess process) =>
        VaultWriter.OpenAsync(vault, process.Clock, process.Name, 1, process.Stop);

    IChangeLog Mutated(IChangeLog log) => world.Options.Mutation == Mutation.None ? log : new MutatedLog(log, world);

    CaptureLoop Capture(SimulatedProcess process, IChangeLog log) =>
        new(world.Options.Capture, new SimulatedSource(world, process), log, process.Clock, new TraceLogger<CaptureLoop>(world, process.Name));

    async Task ArchiveAsync(BackupVault vault, VaultWriter writer, IChangeLog log, SimulatedProcess process)
    {
        var archive = new ArchiveLoop(vault, writer, log, world.Options.Archive, process.Clock, new TraceLogger<ArchiveLoop>(world, process.Name));
        if (!world.Options.Settle)
        {
            await archive.RunAsync(process.Stop);
            return;
        }
        var settle = new SettleLoop(vault, SettleAsync, archive.CommitSettledAsync, world.FaultsOn ? _settle : _never, process.Clock, NullLogger<SettleLoop>.Instance);
        await EitherAsync(process, archive.RunAsync(process.Stop), settle.RunAsync(process.Stop));

        async Task<CommitContent> SettleAsync(SettlePlan plan, CancellationToken stop)
        {
            if (plan.Logs.Count == 0)
                return new CommitContent { SettledTo = plan.To };
            var job = new SettleJob(vault.Medium, vault.Identity, new SettleLimits(), NullLogger.Instance);
            try
            {
                var content = await job.RunAsync(plan, vault.State.Shape, SettleWorker.Stem(writer.Epoch, world.NewGuid()), stop);
                await world.Network(process, stop);
                return SettleDesk.Checked(vault.Medium, content, plan);
            }
            catch (Exception failure) when (failure is DifferenceException or FormatViolationException)
            {
                // As the desk has it: the job failed, and comes again later.
                throw new BackupException(failure.Message, "", inner: failure);
            }
            finally
            {
                if (world.Options.Mutation == Mutation.SettleRemovesBeforeCheck)
                    foreach (var log in plan.Logs)
                        await vault.Medium.DeleteAsync(log.Path, CancellationToken.None);
            }
        }
    }

    /// <summary>The first that ends ends the process.</summary>
    static async Task EitherAsync(SimulatedProcess process, params Task[] loops)
    {
        var first = await Task.WhenAny(loops);
        await first;
        if (process.Stop.IsCancellationRequested)
            await Task.WhenAll(loops);
    }
}
