using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Tests;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

public sealed class BrokerRestartTests(ITestOutputHelper output)
{
    [Fact]
    public async Task Both_sides_find_each_other_again_after_the_broker_was_killed()
    {
        using var timeout = new CancellationTokenSource(TimeSpan.FromSeconds(150));
        var stop = timeout.Token;
        await using var server = await RabbitServer.StartAsync();
        var options = RabbitOptions.For(server.AmqpUri, Guid.NewGuid()) with { RetryMax = TimeSpan.FromSeconds(1) };
        var log = new TestLog(output);
        await using var capture = new RabbitChangeLog(options, TimeProvider.System, log);
        await using var archive = new RabbitChangeLog(options, TimeProvider.System, log);
        var seen = new System.Collections.Concurrent.ConcurrentQueue<(Guid Epoch, ulong Number)>();
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var reading = ReadAsync(archive, seen, ending.Token);
        var requests = capture.RequestsAsync(stop).GetAsyncEnumerator(stop);

        var before = Guid.NewGuid();
        var interrupted = PublishUntilInterruptedAsync(capture, before, stop);
        await Eventually.TrueAsync(() => seen.Count > 50, TimeSpan.FromSeconds(30), "blocks to flow");
        await server.KillAsync();
        await interrupted;
        await Assert.ThrowsAsync<ChangeLogInterruptedException>(() => capture.PublishAsync(TestBlocks.Make(before, 0), stop));
        await archive.RequestAsync(Request(before), stop);
        Assert.Contains(log.Lines, line => line.Contains("StartStream was lost"));
        await server.StartAgainAsync();

        var after = Guid.NewGuid();
        await archive.RequestAsync(Request(after), stop);
        var first = requests.MoveNextAsync();
        Assert.True(await first.AsTask().WaitAsync(stop));
        Assert.Equal(after, Assert.IsType<StartStream>(requests.Current).Epoch);
        for (ulong number = 0; number < 10; number++)
            await capture.PublishAsync(TestBlocks.Make(after, number), stop);
        await Eventually.TrueAsync(() => seen.Contains((after, 9UL)), TimeSpan.FromSeconds(30), "the new epoch to arrive");

        await ending.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
        await requests.DisposeAsync();
        Assert.Equal(Enumerable.Range(0, 10).Select(n => (ulong)n), seen.Where(block => block.Epoch == after).Select(block => block.Number));
        AssertNoHoles([.. seen.Where(block => block.Epoch == before).Select(block => block.Number)]);
    }

    [Fact]
    public async Task Without_a_broker_nothing_hangs()
    {
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(3));
        var nobody = new Uri($"amqp://nobody:nothing@127.0.0.1:{Loopback.FreePort()}/");
        var log = new RabbitChangeLog(RabbitOptions.For(nobody, Guid.NewGuid()), TimeProvider.System, new TestLog(output));
        await Assert.ThrowsAsync<ChangeLogInterruptedException>(
            () => log.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 0), CancellationToken.None));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ReadAsync(log, [], stop.Token));
        await log.DisposeAsync();
    }

    static StartStream Request(Guid epoch) => new(epoch, Guid.NewGuid(), 1, null, null);

    static async Task PublishUntilInterruptedAsync(RabbitChangeLog capture, Guid epoch, CancellationToken stop)
    {
        try
        {
            for (ulong number = 0; ; number++)
            {
                await capture.PublishAsync(TestBlocks.Make(epoch, number, bytes: 10_000), stop);
                await Task.Delay(1, stop);
            }
        }
        catch (ChangeLogInterruptedException)
        {
        }
    }

    static async Task ReadAsync(RabbitChangeLog archive, System.Collections.Concurrent.ConcurrentQueue<(Guid, ulong)> seen, CancellationToken stop)
    {
        await foreach (var delivery in archive.ReadAsync(BlockKind.Stream, stop))
            await using (delivery)
            {
                seen.Enqueue((delivery.Block.Header.Epoch, delivery.Block.Header.Number));
                await delivery.DoneAsync();
            }
    }

    /// <summary>At least once: numbers may go back and come again, and never skip one.</summary>
    static void AssertNoHoles(List<ulong> numbers)
    {
        var next = 0UL;
        foreach (var number in numbers)
        {
            Assert.True(number <= next, $"block {number} came where {next} was due");
            next = Math.Max(next, number + 1);
        }
    }
}
