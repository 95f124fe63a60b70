using System.Text.RegularExpressions;
using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>deploy/rabbitmq: each side of the deployed way may do its part, and no more.</summary>
public sealed class BrokerDefinitionsTests(ITestOutputHelper output) : IAsyncLifetime
{
    readonly CancellationTokenSource _timeout = new(TimeSpan.FromSeconds(120));
    readonly string _folder = Path.Combine(Directory.CreateTempSubdirectory("crmbackup-definitions-").FullName, "made");
    readonly Guid _vault = Guid.NewGuid();
    RabbitServer _server = null!;

    CancellationToken Stop => _timeout.Token;

    public async Task InitializeAsync()
    {
        await Command.RunAsync(Path.Combine(Root(), "deploy", "rabbitmq", "definitions.sh"), _folder, "mq.example");
        _server = await RabbitServer.StartAsync(definitions: Path.Combine(_folder, "definitions.json"));
    }

    public async Task DisposeAsync()
    {
        await _server.DisposeAsync();
        Directory.Delete(Path.GetDirectoryName(_folder)!, recursive: true);
        _timeout.Dispose();
    }

    [Fact]
    public async Task Capture_archive_and_worker_may_do_their_part_and_no_more()
    {
        await using var capture = Log("capture");
        await using var archive = Log("archive");
        await using var worker = Log("worker");
        await archive.RequestAsync(new StartStream(Guid.NewGuid(), _vault, 1, null, null), Stop);
        await foreach (var request in capture.RequestsAsync(Stop))
        {
            Assert.IsType<StartStream>(request);
            break;
        }
        await capture.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 5), Stop);
        await foreach (var delivery in archive.ReadAsync(BlockKind.Stream, Stop))
        {
            Assert.Equal(5UL, delivery.Block.Header.Number);
            await delivery.DoneAsync();
            await delivery.DisposeAsync();
            break;
        }
        await Assert.ThrowsAsync<RefusedException>(() => FirstAsync(capture.ReadAsync(BlockKind.Stream, Stop)));
        await Assert.ThrowsAsync<RefusedException>(() => FirstAsync(worker.ReadAsync(BlockKind.Stream, Stop)));
        await Assert.ThrowsAsync<RefusedException>(() => worker.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 0), Stop));

        await using var archivePlane = Plane("archive");
        var desk = new SettleDesk(
            archivePlane, new DirectoryMedium(_folder), () => TestPlans.State, new JobOptions(), TimeProvider.System, NullLogger<SettleDesk>.Instance);
        await using var workerPlane = Plane("worker");
        _ = new SettleWorker(workerPlane, _ => Task.FromResult(TestPlans.State), (plan, _, _, _) => Task.FromResult(TestPlans.Result(plan)),
            TimeProvider.System, NullLogger<SettleWorker>.Instance);
        await archivePlane.StartAsync(Stop);
        await workerPlane.StartAsync(Stop);
        archivePlane.Announce(new DurableAdvanced(_vault, 1, "0/1", DateTimeOffset.UnixEpoch));
        Assert.Equal(["log/03"], (await desk.SettleAsync(TestPlans.Plan(3), Stop)).Remove);
    }

    RabbitChangeLog Log(string side) => new(RabbitOptions.For(Broker(side), _vault), TimeProvider.System, new TestLog(output));

    ControlPlane Plane(string side) => ControlPlane.CreateRabbit(_vault, Broker(side), NullLoggerFactory.Instance);

    Uri Broker(string side) => new(Regex.Replace(
        File.ReadAllText(Path.Combine(_folder, $"{side}.uri")).Trim(), "mq.example", $"127.0.0.1:{_server.AmqpUri.Port}"));

    static async Task FirstAsync(IAsyncEnumerable<Delivery> reading)
    {
        await foreach (var _ in reading)
            return;
    }

    static string Root()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "CrmBackup.Cdc.sln")))
            folder = folder.Parent!;
        return folder.FullName;
    }
}
