using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>What every change log promises, whatever carries it.</summary>
public abstract class ChangeLogContract : IAsyncLifetime
{
    protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    readonly CancellationTokenSource _timeout = new(Patience);

    protected CancellationToken Stop => _timeout.Token;
    protected IChangeLog Capture { get; set; } = null!;
    protected IChangeLog Archive { get; set; } = null!;

    /// <summary>A new log with names of its own: capture's side and the archive's (the same object in one process).</summary>
    protected abstract Task<(IChangeLog Capture, IChangeLog Archive)> OpenAsync();

    /// <summary>That side's process ends and starts again.</summary>
    protected abstract Task<IChangeLog> RestartAsync(IChangeLog side);

    /// <summary>Small blocks that one side may send while nobody reads.</summary>
    protected abstract int Room { get; }

    /// <summary>Bytes of a block that exceeds every bound of the log.</summary>
    protected abstract int Large { get; }

    public async Task InitializeAsync() => (Capture, Archive) = await OpenAsync();

    public async Task DisposeAsync()
    {
        await Capture.DisposeAsync();
        await Archive.DisposeAsync();
        _timeout.Dispose();
    }

    [Fact]
    public async Task Blocks_arrive_in_order_each_in_its_lane()
    {
        var epoch = Guid.NewGuid();
        for (ulong number = 0; number < 3; number++)
        {
            await Capture.PublishAsync(TestBlocks.Make(epoch, number), Stop);
            await Capture.PublishAsync(TestBlocks.Make(epoch, number, BlockKind.Answer), Stop);
        }
        Assert.Equal([0UL, 1, 2], await TakeAsync(BlockKind.Answer, 3));
        Assert.Equal([0UL, 1, 2], await TakeAsync(BlockKind.Stream, 3));
    }

    [Fact]
    public async Task A_block_arrives_byte_for_byte()
    {
        var block = TestBlocks.Make(Guid.NewGuid(), 7, bytes: 100_000);
        var sent = block.Bytes.ToArray();
        await Capture.PublishAsync(block, Stop);
        await foreach (var delivery in Archive.ReadAsync(BlockKind.Stream, Stop))
        {
            Assert.Equal(sent, delivery.Block.Bytes.ToArray());
            await delivery.DoneAsync();
            await delivery.DisposeAsync();
            TestBlocks.AssertReturned(delivery.Block);
            return;
        }
    }

    [Fact]
    public async Task A_block_larger_than_any_message_arrives_whole_and_in_its_place()
    {
        var epoch = Guid.NewGuid();
        var large = TestBlocks.Make(epoch, 1, bytes: Large);
        var hash = large.Hash;
        var publishing = PublishAllAsync(TestBlocks.Make(epoch, 0), large, TestBlocks.Make(epoch, 2));
        var hashes = new List<(ulong, Sha256)>();
        await foreach (var delivery in Archive.ReadAsync(BlockKind.Stream, Stop))
        {
            hashes.Add((delivery.Block.Header.Number, delivery.Block.Hash));
            await delivery.DoneAsync();
            await delivery.DisposeAsync();
            if (hashes.Count == 3)
                break;
        }
        await publishing;
        Assert.Equal([0UL, 1, 2], hashes.Select(entry => entry.Item1));
        Assert.Equal(hash, hashes[1].Item2);
    }

    [Fact]
    public async Task What_was_left_undone_comes_again_first()
    {
        var epoch = Guid.NewGuid();
        for (ulong number = 0; number < 4; number++)
            await Capture.PublishAsync(TestBlocks.Make(epoch, number), Stop);
        var seen = 0;
        await foreach (var delivery in Archive.ReadAsync(BlockKind.Stream, Stop))
        {
            if (seen == 0)
                await delivery.DoneAsync();
            await delivery.DisposeAsync();
            if (++seen == 3)
                break;
        }
        Assert.Equal([1UL, 2, 3], await TakeAsync(BlockKind.Stream, 3));
    }

    [Fact]
    public async Task The_archive_finds_what_it_left_after_a_restart()
    {
        var epoch = Guid.NewGuid();
        for (ulong number = 0; number < 3; number++)
            await Capture.PublishAsync(TestBlocks.Make(epoch, number), Stop);
        Assert.Equal([0UL], await TakeAsync(BlockKind.Stream, 1));
        Archive = await RestartAsync(Archive);
        Assert.Equal([1UL, 2], await TakeAsync(BlockKind.Stream, 2));
    }

    [Fact]
    public async Task Capture_may_restart_while_the_archive_reads_on()
    {
        var taking = TakeAsync(BlockKind.Stream, 2);
        await Capture.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 0), Stop);
        Capture = await RestartAsync(Capture);
        await Capture.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 1), Stop);
        Assert.Equal([0UL, 1], await taking);
    }

    [Fact]
    public async Task Only_one_reader_of_a_lane_gets_blocks_and_the_next_takes_over()
    {
        using var first = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var firstSaw = new List<ulong>();
        var firstGotOne = new TaskCompletionSource();
        var firstReader = ReadUntilStoppedAsync(Archive.ReadAsync(BlockKind.Stream, first.Token), number =>
        {
            firstSaw.Add(number);
            firstGotOne.TrySetResult();
        });
        var epoch = Guid.NewGuid();
        await Capture.PublishAsync(TestBlocks.Make(epoch, 0), Stop);
        await firstGotOne.Task.WaitAsync(Stop);
        var second = TakeAsync(BlockKind.Stream, 1);
        // Time enough for the second to take its place.
        for (ulong number = 1; number <= 20; number++)
        {
            await Capture.PublishAsync(TestBlocks.Make(epoch, number), Stop);
            await Task.Delay(20, Stop);
        }
        while (firstSaw.Count < 21 && !second.IsCompleted)
            await Task.Delay(10, Stop);
        Assert.False(second.IsCompleted);

        await first.CancelAsync();
        await firstReader;
        await Capture.PublishAsync(TestBlocks.Make(epoch, 21), Stop);
        Assert.Equal([21UL], await second);
    }

    [Fact]
    public async Task Requests_arrive_in_order()
    {
        var epoch = Guid.NewGuid();
        ArchiveRequest[] requests =
        [
            new StartStream(epoch, Guid.NewGuid(), ulong.MaxValue, new Position(1, new Lsn(0x16B3748)), null),
            new ReadBaseChunk(epoch, 1, 16384, 0, 0, null, [["a", "b"]]),
            new DurableAt(epoch, new Position(1, new Lsn(0x16B3750))),
        ];
        foreach (var request in requests)
            await Archive.RequestAsync(request, Stop);
        var arrived = new List<ArchiveRequest>();
        await foreach (var request in Capture.RequestsAsync(Stop))
        {
            arrived.Add(request);
            if (arrived.Count == requests.Length)
                break;
        }
        Assert.Equal(requests.Select(Text), arrived.Select(Text));
        static string Text(ArchiveRequest request) => System.Text.Encoding.UTF8.GetString(request.ToBytes());
    }

    [Fact]
    public async Task A_cancelled_reader_loses_nothing()
    {
        for (var round = 0; round < 5; round++)
        {
            using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
            var reading = ReadUntilStoppedAsync(Archive.ReadAsync(BlockKind.Stream, cancel.Token), _ => Assert.Fail("no block is there"));
            cancel.CancelAfter(round);
            await reading;
        }
        await Capture.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 9), Stop);
        Assert.Equal([9UL], await TakeAsync(BlockKind.Stream, 1));
    }

    [Fact]
    public async Task Publishing_waits_when_nobody_reads_and_a_cancelled_call_gives_its_block_up()
    {
        var epoch = Guid.NewGuid();
        for (var number = 0; number < Room; number++)
            await Capture.PublishAsync(TestBlocks.Make(epoch, (ulong)number), Stop);
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(Stop);
        var tooMany = TestBlocks.Make(epoch, (ulong)Room);
        var publishing = Capture.PublishAsync(tooMany, cancel.Token);
        await Task.Delay(50, Stop);
        Assert.False(publishing.IsCompleted);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => publishing);
        TestBlocks.AssertReturned(tooMany);
    }

    /// <summary>Reads, does and returns the numbers of that many blocks.</summary>
    protected async Task<List<ulong>> TakeAsync(BlockKind lane, int count)
    {
        var numbers = new List<ulong>();
        await foreach (var delivery in Archive.ReadAsync(lane, Stop))
        {
            await using (delivery)
            {
                numbers.Add(delivery.Block.Header.Number);
                await delivery.DoneAsync();
            }
            if (numbers.Count == count)
                break;
        }
        return numbers;
    }

    protected static async Task ReadUntilStoppedAsync(IAsyncEnumerable<Delivery> reading, Action<ulong> saw)
    {
        try
        {
            await foreach (var delivery in reading)
            {
                await using var owned = delivery;
                await delivery.DoneAsync();
                saw(delivery.Block.Header.Number);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    async Task PublishAllAsync(params Block[] blocks)
    {
        foreach (var block in blocks)
            await Capture.PublishAsync(block, Stop);
    }
}
