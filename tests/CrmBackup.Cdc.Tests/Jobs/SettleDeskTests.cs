using System.Collections.Concurrent;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>Jobs inside one process, as <c>run</c> without a broker has them.</summary>
public sealed class SettleDeskTests : IAsyncLifetime
{
    readonly CancellationTokenSource _timeout = new(TimeSpan.FromSeconds(30));
    readonly ControlPlane _plane = ControlPlane.CreateInMemory(Guid.NewGuid(), NullLoggerFactory.Instance);
    readonly ConcurrentQueue<CommitContent> _committed = [];

    CancellationToken Stop => _timeout.Token;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync() => await _plane.DisposeAsync();

    [Fact]
    public async Task Settled_segments_are_committed_once_each()
    {
        var desk = Desk(new JobOptions());
        Work((job, _) => Task.FromResult(SettledBy(job)));
        await _plane.StartAsync(Stop);
        await Task.WhenAll(Enumerable.Range(0, 5).Select(n => desk.SettleAsync([$"log/{n}"], Stop)));
        Assert.Equal(Enumerable.Range(0, 5).Select(n => $"log/{n}"), _committed.SelectMany(content => content.Remove).Order());
        Assert.All(_committed, content => Assert.Equal(new Lsn(0x20), content.SettledTo));
    }

    [Fact]
    public async Task A_failed_job_is_given_out_again_and_given_up_in_the_end()
    {
        var tries = 0;
        var desk = Desk(new JobOptions { Retry = TimeSpan.Zero, AttemptsMax = 3 });
        Work((job, _) => ++tries == 2 ? Task.FromResult(SettledBy(job)) : throw new IOException("the medium is full"));
        await _plane.StartAsync(Stop);
        await desk.SettleAsync(["log/1"], Stop);
        Assert.Equal(2, tries);
        var givenUp = await Assert.ThrowsAsync<BackupException>(() => desk.SettleAsync(["log/2"], Stop));
        Assert.Contains("the medium is full", givenUp.Message);
        Assert.Equal(5, tries);
        Assert.Single(_committed);
    }

    [Fact]
    public async Task A_second_result_of_a_job_is_not_committed()
    {
        var desk = Desk(new JobOptions());
        var first = Guid.Empty;
        Work((job, _) =>
        {
            first = first == Guid.Empty ? job.Job : first;
            return Task.FromResult(SettledBy(job));
        });
        await _plane.StartAsync(Stop);
        await desk.SettleAsync(["log/1"], Stop);
        await _plane.SendAsync(_plane.Queue("sealed"), new SegmentSealed(first, _plane.Vault, """{"remove":["late"]}""", "w"), null, Stop);
        await _plane.SendAsync(_plane.Queue("sealed"), new SegmentSealed(Guid.NewGuid(), _plane.Vault, """{"remove":["never asked"]}""", "w"), null, Stop);
        // One queue, in order: when this is committed, the two above have been seen.
        await desk.SettleAsync(["log/2"], Stop);
        Assert.Equal(["log/1", "log/2"], _committed.SelectMany(content => content.Remove));
    }

    [Fact]
    public async Task A_worker_in_the_middle_of_a_job_can_be_stopped()
    {
        var begun = new TaskCompletionSource();
        var desk = Desk(new JobOptions());
        Work(async (_, stop) =>
        {
            begun.SetResult();
            await Task.Delay(Timeout.Infinite, stop);
            return new CommitContent();
        });
        await _plane.StartAsync(Stop);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var settling = desk.SettleAsync(["log/1"], cancel.Token);
        await begun.Task.WaitAsync(Stop);
        await _plane.StopAsync(Stop);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => settling);
        Assert.Empty(_committed);
    }

    [Fact]
    public async Task Events_reach_those_who_look()
    {
        var seen = new TaskCompletionSource<DurableAdvanced>();
        _plane.Observe<DurableAdvanced>(happened =>
        {
            seen.TrySetResult(happened);
            return Task.CompletedTask;
        });
        await _plane.StartAsync(Stop);
        var told = new DurableAdvanced(_plane.Vault, 1, "0/16B3748", DateTimeOffset.UnixEpoch);
        _plane.Announce(told);
        Assert.Equal(told, await seen.Task.WaitAsync(Stop));
    }

    SettleDesk Desk(JobOptions options) => new(_plane, (content, _) =>
    {
        _committed.Enqueue(content);
        return Task.CompletedTask;
    }, options, TimeProvider.System, NullLogger<SettleDesk>.Instance);

    void Work(Func<SettleRequested, CancellationToken, Task<CommitContent>> settle) =>
        _ = new SettleWorker(_plane, settle, NullLogger<SettleWorker>.Instance);

    static CommitContent SettledBy(SettleRequested job) => new() { Remove = job.LogSegments, SettledTo = new Lsn(0x20) };
}
