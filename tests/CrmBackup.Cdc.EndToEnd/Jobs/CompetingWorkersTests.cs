using System.Collections.Concurrent;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("rabbit")]
public sealed class CompetingWorkersTests(RabbitFixture rabbit, ITestOutputHelper output)
{
    readonly TestLog _log = new(output);

    [Fact]
    public async Task Every_job_ends_once_when_one_of_two_workers_dies_in_the_middle()
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        var stop = timeout.Token;
        var vault = Guid.NewGuid();
        using var cable = new Relay(rabbit.Server.AmqpUri.Port);
        var committed = new ConcurrentQueue<string>();
        var archive = Plane(vault, rabbit.Server.AmqpUri);
        var desk = new SettleDesk(archive, (content, _) =>
        {
            committed.Enqueue(content.Remove[0]);
            return Task.CompletedTask;
        }, new JobOptions(), TimeProvider.System, Logger<SettleDesk>());

        var inTheMiddle = new TaskCompletionSource<string>();
        var doomed = Plane(vault, new UriBuilder(rabbit.Server.AmqpUri) { Port = cable.Port }.Uri);
        _ = new SettleWorker(doomed, async (job, _) =>
        {
            inTheMiddle.TrySetResult(job.LogSegments[0]);
            // Not even told to stop: this process is gone.
            await Task.Delay(Timeout.Infinite, stop);
            return new CommitContent();
        }, Logger<SettleWorker>());
        var healthy = Plane(vault, rabbit.Server.AmqpUri);
        var done = new ConcurrentQueue<string>();
        _ = new SettleWorker(healthy, (job, _) =>
        {
            done.Enqueue(job.LogSegments[0]);
            return Task.FromResult(new CommitContent { Remove = job.LogSegments });
        }, Logger<SettleWorker>());

        await archive.StartAsync(stop);
        await doomed.StartAsync(stop);
        var settling = Enumerable.Range(0, 12).Select(n => desk.SettleAsync([$"log/{n:00}"], stop)).ToList();
        var lost = await inTheMiddle.Task.WaitAsync(stop);
        await healthy.StartAsync(stop);
        await Eventually.TrueAsync(() => done.Count == 11, TimeSpan.FromSeconds(30), "all other jobs to be done");
        Assert.DoesNotContain(lost, done);
        cable.Cut();

        await Task.WhenAll(settling).WaitAsync(stop);
        var all = Enumerable.Range(0, 12).Select(n => $"log/{n:00}").ToList();
        Assert.Equal(all, committed.Order());
        Assert.Equal(all, done.Order());
        Assert.Equal(lost, done.Last());
        await timeout.CancelAsync();
        foreach (var plane in new[] { archive, healthy, doomed })
            await plane.DisposeAsync();
    }

    [Fact]
    public async Task A_job_of_a_hanging_worker_is_given_out_again_and_its_late_result_is_an_orphan()
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        var stop = timeout.Token;
        var vault = Guid.NewGuid();
        var committed = new ConcurrentQueue<string>();
        await using var archive = Plane(vault, rabbit.Server.AmqpUri);
        var desk = new SettleDesk(archive, (content, _) =>
        {
            committed.Enqueue(content.Remove[0]);
            return Task.CompletedTask;
        }, new JobOptions { Patience = TimeSpan.FromSeconds(2), Retry = TimeSpan.Zero }, TimeProvider.System, new OneLog<SettleDesk>(_log));
        var begun = new TaskCompletionSource();
        var mayEnd = new TaskCompletionSource();
        await using var slow = Plane(vault, rabbit.Server.AmqpUri);
        _ = new SettleWorker(slow, async (job, _) =>
        {
            begun.TrySetResult();
            await mayEnd.Task;
            return new CommitContent { Remove = ["late"] };
        }, Logger<SettleWorker>());
        await using var quick = Plane(vault, rabbit.Server.AmqpUri);
        _ = new SettleWorker(quick, (job, _) => Task.FromResult(new CommitContent { Remove = job.LogSegments }), Logger<SettleWorker>());

        await archive.StartAsync(stop);
        await slow.StartAsync(stop);
        var settling = desk.SettleAsync(["log/1"], stop);
        await begun.Task.WaitAsync(stop);
        await quick.StartAsync(stop);
        await settling;
        mayEnd.SetResult();
        await Eventually.TrueAsync(() => _log.Lines.Any(line => line.Contains("came too late")), TimeSpan.FromSeconds(30), "the late result");
        Assert.Equal(["log/1"], committed);
    }

    [Fact]
    public async Task Without_a_broker_nothing_hangs()
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        var stop = timeout.Token;
        var nobody = new Uri($"amqp://nobody:nothing@127.0.0.1:{Loopback.FreePort()}/");
        await using var plane = Plane(Guid.NewGuid(), nobody);
        var desk = new SettleDesk(plane, (_, _) => Task.CompletedTask, new JobOptions(), TimeProvider.System, Logger<SettleDesk>());
        await plane.StartAsync(stop).WaitAsync(TimeSpan.FromSeconds(5), stop);
        plane.Announce(new DurableAdvanced(plane.Vault, 1, "0/1", DateTimeOffset.UnixEpoch));
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var settling = desk.SettleAsync(["log/1"], cancel.Token);
        cancel.CancelAfter(TimeSpan.FromSeconds(1));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => settling.WaitAsync(TimeSpan.FromSeconds(5), stop));
        await plane.StopAsync(stop).WaitAsync(TimeSpan.FromSeconds(20), stop);
        Assert.DoesNotContain(_log.Lines, line => line.Contains("nothing"));
    }

    ControlPlane Plane(Guid vault, Uri broker) => ControlPlane.CreateRabbit(vault, broker, new OneLog(_log));

    static ILogger<T> Logger<T>() => NullLogger<T>.Instance;

    sealed class OneLog<T>(ILogger log) : ILogger<T>
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            log.Log(logLevel, eventId, state, exception, formatter);
    }

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
