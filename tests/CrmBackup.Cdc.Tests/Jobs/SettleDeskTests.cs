using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests.Segments;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>Jobs inside one process, as <c>run</c> without a broker has them.</summary>
public sealed class SettleDeskTests : IAsyncLifetime
{
    static readonly RelationShape _shape = Given.Shape(1, 1, ("id", "bigint"));
    readonly CancellationTokenSource _timeout = new(TimeSpan.FromSeconds(30));
    readonly ControlPlane _plane = ControlPlane.CreateInMemory(TemporaryVault.Identity.Id, NullLoggerFactory.Instance);
    readonly TemporaryVault _folder = new();

    CancellationToken Stop => _timeout.Token;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        await _plane.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_worker_settles_and_the_archive_commits_what_it_has_checked()
    {
        var (vault, writer) = await VaultWithLogAsync();
        using var owned = writer;
        var job = new SettleJob(_folder.Medium, TemporaryVault.Identity, new SettleLimits(), NullLogger.Instance);
        var elsewhere = await _folder.OpenAsync();
        var desk = Desk(new JobOptions(), () => vault.State);
        Work(async (plan, state, stem, stop) => await SettleWorker.By(job)(plan, state, stem, stop), elsewhere.RefreshAsync);
        await _plane.StartAsync(Stop);

        var content = await desk.SettleAsync(SettlePlan.For(vault.State, new SettleOptions(), new SourceTime(0), atOnce: true)!, Stop);
        var state = await writer.CommitAsync(content, Stop);
        var settled = Assert.Single(state.Segments.Values);
        Assert.Equal((SegmentKind.Changes, 5L), (settled.Kind, settled.Rows));
        Assert.Contains($"{writer.Epoch:D8}-", settled.Path);
    }

    [Fact]
    public async Task A_jobs_own_files_are_no_requests()
    {
        var temporary = _folder.Medium.NewTemporaryPath("settle");
        await File.WriteAllTextAsync(temporary, "");
        Assert.False(await SettleRequest.TakeAsync(_folder.Medium, Stop));
        Assert.True(await _folder.Medium.TryCreateAsync("tmp/asked-1.json", "{}\n"u8.ToArray(), Stop));
        Assert.True(await SettleRequest.TakeAsync(_folder.Medium, Stop));
        Assert.True(File.Exists(temporary));
    }

    [Fact]
    public async Task Who_asks_to_have_all_settled_is_heard_while_a_job_is_under_way()
    {
        var (vault, writer) = await VaultWithLogAsync();
        using var owned = writer;
        var (begun, goOn) = (new TaskCompletionSource(), new TaskCompletionSource());
        var job = new SettleJob(_folder.Medium, TemporaryVault.Identity, new SettleLimits(), NullLogger.Instance);
        var loop = new SettleLoop(vault, async (plan, stop) =>
        {
            begun.TrySetResult();
            await goOn.Task.WaitAsync(stop);
            return await SettleWorker.By(job)(plan, vault.State, $"{writer.Epoch:D8}-{Guid.NewGuid():N}", stop);
        }, (content, stop) => writer.CommitAsync(content, stop), new SettleOptions { Bytes = 1 }, TimeProvider.System, NullLogger<SettleLoop>.Instance);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var settling = loop.RunAsync(cancel.Token);
        await begun.Task.WaitAsync(Stop);

        Assert.True(await _folder.Medium.TryCreateAsync("tmp/asked-1.json", "{}\n"u8.ToArray(), Stop));
        while (File.Exists(_folder.PathOf("tmp/asked-1.json")))
            await Task.Delay(20, Stop);
        Assert.False(goOn.Task.IsCompleted);
        goOn.SetResult();
        while (vault.State.SettledTo.IsNone)
            await Task.Delay(20, Stop);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => settling);
        Assert.Equal(new Lsn(0x100), vault.State.SettledTo);
    }

    [Fact]
    public async Task What_failed_once_is_owed_still_to_who_asked()
    {
        var (vault, writer) = await VaultWithLogAsync();
        using var owned = writer;
        var job = new SettleJob(_folder.Medium, TemporaryVault.Identity, new SettleLimits(), NullLogger.Instance);
        var clock = new Microsoft.Extensions.Time.Testing.FakeTimeProvider();
        var tries = 0;
        // Nothing is due by itself.
        var loop = new SettleLoop(vault, (plan, stop) => tries++ == 0 ? throw new BackupException("no worker did it", "Try later.")
                : SettleWorker.By(job)(plan, vault.State, $"{writer.Epoch:D8}-{Guid.NewGuid():N}", stop),
            (content, stop) => writer.CommitAsync(content, stop), new SettleOptions { Bytes = 1L << 40, JobBytesMax = 1L << 40 }, clock, NullLogger<SettleLoop>.Instance);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        Assert.True(await _folder.Medium.TryCreateAsync("tmp/asked-1.json", "{}\n"u8.ToArray(), Stop));
        var settling = loop.RunAsync(cancel.Token);
        while (vault.State.SettledTo.IsNone)
        {
            clock.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(5, Stop);
        }
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => settling);
        Assert.Equal(2, tries);
    }

    [Fact]
    public async Task What_was_damaged_after_the_worker_had_sealed_it_is_not_taken()
    {
        var (vault, writer) = await VaultWithLogAsync();
        using var owned = writer;
        var job = new SettleJob(_folder.Medium, TemporaryVault.Identity, new SettleLimits(), NullLogger.Instance);
        var desk = Desk(new JobOptions(), () => vault.State);
        Work(async (plan, state, stem, stop) =>
        {
            var content = await SettleWorker.By(job)(plan, state, stem, stop);
            await using var file = File.OpenWrite(_folder.PathOf(content.Add[0].Path));
            file.Seek(40, SeekOrigin.Begin);
            file.WriteByte(99);
            return content;
        }, _ => Task.FromResult(vault.State));
        await _plane.StartAsync(Stop);
        var plan = SettlePlan.For(vault.State, new SettleOptions(), new SourceTime(0), atOnce: true)!;
        await Assert.ThrowsAsync<DifferenceException>(() => desk.SettleAsync(plan, Stop));
    }

    [Fact]
    public async Task Jobs_given_out_together_all_end_each_with_its_own_result()
    {
        var desk = Desk(new JobOptions());
        Work((plan, _, _, _) => Task.FromResult(TestPlans.Result(plan)));
        await _plane.StartAsync(Stop);
        var results = await Task.WhenAll(Enumerable.Range(0, 5).Select(n => desk.SettleAsync(TestPlans.Plan(n), Stop)));
        Assert.Equal(["log/00", "log/01", "log/02", "log/03", "log/04"], results.SelectMany(content => content.Remove));
    }

    [Fact]
    public async Task A_failed_job_is_given_out_again_and_given_up_in_the_end()
    {
        var tries = 0;
        var desk = Desk(new JobOptions { Retry = TimeSpan.Zero, AttemptsMax = 3 });
        Work((plan, _, _, _) => ++tries == 2 ? Task.FromResult(TestPlans.Result(plan)) : throw new IOException("the medium is full"));
        await _plane.StartAsync(Stop);
        await desk.SettleAsync(TestPlans.Plan(1), Stop);
        Assert.Equal(2, tries);
        var givenUp = await Assert.ThrowsAsync<BackupException>(() => desk.SettleAsync(TestPlans.Plan(2), Stop));
        Assert.Contains("the medium is full", givenUp.Message);
        Assert.Equal(5, tries);
    }

    [Fact]
    public async Task A_result_that_nobody_waits_for_is_not_taken_for_another()
    {
        var desk = Desk(new JobOptions());
        var first = Guid.Empty;
        Work(async (plan, _, stem, stop) =>
        {
            first = first == Guid.Empty ? Guid.Parse(stem[9..]) : first;
            foreach (var job in new[] { first, Guid.NewGuid() })
                await _plane.SendAsync(_plane.Queue("sealed"), new SegmentSealed(job, _plane.Vault, """{"remove":["late"]}""", "w"), null, stop);
            return TestPlans.Result(plan);
        });
        await _plane.StartAsync(Stop);
        // The first job answers twice, the first answer is wrong: a worker of another version.
        await Assert.ThrowsAsync<DifferenceException>(() => desk.SettleAsync(TestPlans.Plan(1), Stop));
        for (var n = 2; n < 5; n++)
            Assert.Equal([$"log/{n:00}"], (await desk.SettleAsync(TestPlans.Plan(n), Stop)).Remove);
    }

    [Fact]
    public async Task A_worker_in_the_middle_of_a_job_can_be_stopped()
    {
        var begun = new TaskCompletionSource();
        var desk = Desk(new JobOptions());
        Work(async (plan, _, _, stop) =>
        {
            begun.SetResult();
            await Task.Delay(Timeout.Infinite, stop);
            return TestPlans.Result(plan);
        });
        await _plane.StartAsync(Stop);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var settling = desk.SettleAsync(TestPlans.Plan(1), cancel.Token);
        await begun.Task.WaitAsync(Stop);
        await _plane.StopAsync(Stop).WaitAsync(TimeSpan.FromSeconds(15), Stop);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => settling);
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

    SettleDesk Desk(JobOptions options, Func<VaultState>? state = null) => new(
        _plane, _folder.Medium, state ?? (() => TestPlans.State), options, TimeProvider.System, NullLogger<SettleDesk>.Instance);

    void Work(SettleWork work, Func<CancellationToken, Task<VaultState>>? state = null) => _ = new SettleWorker(
        _plane, state ?? (_ => Task.FromResult(TestPlans.State)), work, TimeProvider.System, NullLogger<SettleWorker>.Instance);

    /// <summary>Five inserts in one log segment.</summary>
    async Task<(BackupVault Vault, VaultWriter Writer)> VaultWithLogAsync()
    {
        var vault = await _folder.CreateAsync();
        var writer = await _folder.WriterAsync(vault);
        var log = new LogSegmentBuilder();
        for (var n = 0; n < 5; n++)
            log.Add(EventKind.Insert, 1, 1, 700, n, OldTupleKind.None, null, Given.Tuple($"{n}"));
        log.CompleteTransaction(0, new Lsn(0x100), new SourceTime(1_795_000_000_000_000));
        var path = VaultPath.Log(new DateOnly(2026, 11, 22), 1, 1, new Lsn(0x100));
        var temporary = _folder.Medium.NewTemporaryPath("log");
        SegmentEntry entry;
        await using (var output = File.Create(temporary))
            entry = await LogSegmentFile.WriteAsync(output, path, log, log.Rows, Given.Origin with { Timeline = 1 }, (_, _) => _shape, Stop);
        await _folder.Medium.PublishAsync(temporary, path, Stop);
        await writer.CommitAsync(new CommitContent { Add = [entry], Relations = [_shape], CoveredTo = new CoveredTo(new Position(1, new Lsn(0x100)), null) }, Stop);
        return (vault, writer);
    }
}
