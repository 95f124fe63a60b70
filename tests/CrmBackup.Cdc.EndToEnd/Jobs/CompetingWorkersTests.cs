using System.Collections.Concurrent;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("rabbit")]
public sealed class CompetingWorkersTests(RabbitFixture rabbit, ITestOutputHelper output) : IAsyncLifetime
{
    readonly TestLog _log = new(output);
    readonly Guid _vault = Guid.NewGuid();
    readonly CancellationTokenSource _timeout = new(TimeSpan.FromSeconds(90));
    readonly ConcurrentBag<ControlPlane> _planes = [];

    CancellationToken Stop => _timeout.Token;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        await _timeout.CancelAsync();
        await Task.WhenAll(_planes.Select(plane => plane.DisposeAsync().AsTask()));
        _timeout.Dispose();
    }

    [Fact]
    public async Task Every_job_ends_once_when_one_of_two_workers_dies_in_the_middle()
    {
        using var cable = new Relay(rabbit.Server.AmqpUri.Port);
        var archive = Plane(rabbit.Server.AmqpUri);
        var desk = Desk(archive, new JobOptions());
        var inTheMiddle = new TaskCompletionSource<string>();
        var doomed = Plane(new UriBuilder(rabbit.Server.AmqpUri) { Port = cable.Port }.Uri);
        Work(doomed, async (plan, _, _, _) =>
        {
            inTheMiddle.TrySetResult(plan.Logs[0].Path);
            // Not even told to stop: its process is gone.
            await Task.Delay(Timeout.Infinite, Stop);
            return TestPlans.Result(plan);
        });
        var healthy = Plane(rabbit.Server.AmqpUri);
        var done = new ConcurrentQueue<string>();
        Work(healthy, (plan, _, _, _) =>
        {
            done.Enqueue(plan.Logs[0].Path);
            return Task.FromResult(TestPlans.Result(plan));
        });

        await archive.StartAsync(Stop);
        await doomed.StartAsync(Stop);
        var settling = Enumerable.Range(0, 12).Select(n => desk.SettleAsync(TestPlans.Plan(n), Stop)).ToList();
        var lost = await inTheMiddle.Task.WaitAsync(Stop);
        await healthy.StartAsync(Stop);
        await Eventually.TrueAsync(() => done.Count == 11, TimeSpan.FromSeconds(30), "all other jobs to be done");
        Assert.DoesNotContain(lost, done);
        cable.Cut();

        var results = await Task.WhenAll(settling).WaitAsync(Stop);
        var all = Enumerable.Range(0, 12).Select(n => $"log/{n:00}").ToList();
        Assert.Equal(all, results.SelectMany(content => content.Remove));
        Assert.Equal(all, done.Order());
        Assert.Equal(lost, done.Last());
    }

    [Fact]
    public async Task A_job_of_a_hanging_worker_is_given_out_again_and_its_late_result_is_an_orphan()
    {
        var archive = Plane(rabbit.Server.AmqpUri);
        var desk = Desk(archive, new JobOptions { Patience = TimeSpan.FromSeconds(2), Retry = TimeSpan.Zero });
        var begun = new TaskCompletionSource();
        var mayEnd = new TaskCompletionSource();
        var slow = Plane(rabbit.Server.AmqpUri);
        Work(slow, async (plan, _, _, stop) =>
        {
            begun.TrySetResult();
            await mayEnd.Task.WaitAsync(stop);
            return TestPlans.Result(plan) with { Remove = ["late"] };
        });
        var quick = Plane(rabbit.Server.AmqpUri);
        Work(quick, (plan, _, _, _) => Task.FromResult(TestPlans.Result(plan)));

        await archive.StartAsync(Stop);
        await slow.StartAsync(Stop);
        var settling = desk.SettleAsync(TestPlans.Plan(1), Stop);
        await begun.Task.WaitAsync(Stop);
        await quick.StartAsync(Stop);
        Assert.Equal(["log/01"], (await settling).Remove);
        mayEnd.SetResult();
        await Eventually.TrueAsync(() => _log.Lines.Any(line => line.Contains("came too late")), TimeSpan.FromSeconds(30), "the late result");
    }

    [Fact]
    public async Task Without_a_broker_nothing_hangs()
    {
        var plane = Plane(new Uri($"amqp://nobody:nothingatall@127.0.0.1:{Loopback.FreePort()}/"));
        var desk = Desk(plane, new JobOptions());
        await plane.StartAsync(Stop).WaitAsync(TimeSpan.FromSeconds(5), Stop);
        plane.Announce(new DurableAdvanced(plane.Vault, 1, "0/1", DateTimeOffset.UnixEpoch));
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var settling = desk.SettleAsync(TestPlans.Plan(1), cancel.Token);
        cancel.CancelAfter(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => settling.WaitAsync(TimeSpan.FromSeconds(5), Stop));
        await plane.StopAsync(Stop).WaitAsync(TimeSpan.FromSeconds(20), Stop);
        Assert.DoesNotContain(_log.Lines, line => line.Contains("nothingatall"));
    }

    ControlPlane Plane(Uri broker)
    {
        var plane = ControlPlane.CreateRabbit(_vault, broker, new OneLog(_log));
        _planes.Add(plane);
        return plane;
    }

    SettleDesk Desk(ControlPlane plane, JobOptions options) => new(
        plane, new DirectoryMedium(Path.GetTempPath()), () => TestPlans.State, options, TimeProvider.System, new Logger<SettleDesk>(new OneLog(_log)));

    static void Work(ControlPlane plane, SettleWork work) => _ = new SettleWorker(
        plane, _ => Task.FromResult(TestPlans.State), work, TimeProvider.System, NullLogger<SettleWorker>.Instance);

    sealed class OneLog(ILogger log) : ILoggerFactory
    {
        public void AddProvider(ILoggerProvider provider)
        {
        }

        public ILogger CreateLogger(string categoryName) => log;

        public void Dispose()
        {
        }
    }
}
