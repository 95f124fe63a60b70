using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Tests;
using RabbitMQ.Client;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("rabbit")]
public sealed class RabbitChangeLogTests(RabbitFixture rabbit, ITestOutputHelper output) : ChangeLogContract
{
    readonly RabbitOptions _options = RabbitOptions.For(rabbit.Server.AmqpUri, Guid.NewGuid()) with
    {
        MessageBytesMax = 64 << 10,
        PrefetchMax = 16,
        UnconfirmedMax = 8,
        WaitingBytesMax = 128 << 10,
        QueueBytesMax = 2 << 20,
    };
    readonly TestLog _log = new(output);

    protected override int Room => (128 << 10) / TestBlocks.Length(100);
    protected override int Large => 4 << 20;

    protected override Task<(IChangeLog Capture, IChangeLog Archive)> OpenAsync() => Task.FromResult<(IChangeLog, IChangeLog)>((Open(), Open()));

    protected override async Task<IChangeLog> RestartAsync(IChangeLog side)
    {
        await side.DisposeAsync();
        return Open();
    }

    RabbitChangeLog Open(RabbitOptions? options = null) => new RabbitChangeLog(options ?? _options, TimeProvider.System, _log);

    [Fact]
    public async Task A_block_that_no_queue_took_fails_the_next_call()
    {
        var epoch = Guid.NewGuid();
        // So few bytes that capture does not look at the queue: only the returned message can tell.
        await using var capture = Open(_options with { WaitingBytesMax = 1 << 20 });
        await capture.PublishAsync(TestBlocks.Make(epoch, 0), Stop);
        await using (var channel = await ChannelAsync())
            await channel.QueueDeleteAsync($"{_options.Name}.stream");

        await Assert.ThrowsAsync<ChangeLogInterruptedException>(async () =>
        {
            for (ulong number = 1; number < 1000; number++)
                await capture.PublishAsync(TestBlocks.Make(epoch, number), Stop);
        });
        await capture.PublishAsync(TestBlocks.Make(epoch, 77), Stop);
        Assert.Equal([77UL], await TakeAsync(BlockKind.Stream, 1));
    }

    [Fact]
    public async Task A_queue_that_is_full_fails_the_publisher_and_not_the_broker()
    {
        await using var unbounded = Open(_options with { WaitingBytesMax = 1 << 20, QueueBytesMax = 2 << 20 });
        // Another program fills the queue behind our back.
        await unbounded.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 0), Stop);
        await using (var channel = await ChannelAsync())
            for (var i = 0; i < 40; i++)
                await channel.BasicPublishAsync("", $"{_options.Name}.stream", new byte[64 << 10], Stop);
        await Assert.ThrowsAsync<ChangeLogInterruptedException>(async () =>
        {
            for (ulong number = 1; number < 1000; number++)
                await unbounded.PublishAsync(TestBlocks.Make(Guid.NewGuid(), number, bytes: 60_000), Stop);
        });
    }

    [Fact]
    public async Task A_block_cancelled_half_way_is_told_once_and_never_read()
    {
        var epoch = Guid.NewGuid();
        using (var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop))
        {
            var publishing = Capture.PublishAsync(TestBlocks.Make(epoch, 0, bytes: 1 << 20), cancel.Token);
            await Eventually.TrueAsync(() => _log.Lines.Any(line => line.Contains("waiting for its reader")), Patience, "the lane to be full");
            await cancel.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => publishing);
        }
        await Assert.ThrowsAsync<ChangeLogInterruptedException>(() => Capture.PublishAsync(TestBlocks.Make(epoch, 1), Stop));
        var next = Capture.PublishAsync(TestBlocks.Make(epoch, 2), Stop);
        Assert.Equal([2UL], await TakeAsync(BlockKind.Stream, 1));
        await next;
        Assert.Contains(_log.Lines, line => line.Contains("incomplete block"));
    }

    [Fact]
    public async Task Wrong_credentials_are_refused_in_words_that_do_not_hold_them()
    {
        var wrong = new UriBuilder(rabbit.Server.AmqpUri) { Password = "secretword" }.Uri;
        await using var log = Open(_options with { Broker = wrong });
        var refused = await Assert.ThrowsAsync<RefusedException>(() => log.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 0), Stop));
        Assert.DoesNotContain("secretword", refused.ToString());
        Assert.DoesNotContain("crmbackup:", refused.Message);
    }

    [Fact]
    public async Task Two_sides_with_other_settings_are_refused()
    {
        await Capture.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 0), Stop);
        await using var other = Open(_options with { QueueBytesMax = 3 << 20 });
        await Assert.ThrowsAsync<RefusedException>(() => other.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 0), Stop));
    }

    async Task<IChannel> ChannelAsync()
    {
        var connection = await new ConnectionFactory { Uri = rabbit.Server.AmqpUri }.CreateConnectionAsync(Stop);
        return await connection.CreateChannelAsync(cancellationToken: Stop);
    }
}
