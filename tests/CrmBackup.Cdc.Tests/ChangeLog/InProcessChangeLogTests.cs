using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class InProcessChangeLogTests : ChangeLogContract
{
    protected override int Room => 4;
    protected override int Large => 90 << 20;

    protected override Task<(IChangeLog Capture, IChangeLog Archive)> OpenAsync()
    {
        var log = new InProcessChangeLog(Room);
        return Task.FromResult<(IChangeLog, IChangeLog)>((log, log));
    }

    /// <summary>Both sides live in one process: a restart is that one side's loop starting anew on the same log.</summary>
    protected override Task<IChangeLog> RestartAsync(IChangeLog side) => Task.FromResult(side);

    [Fact]
    public async Task Bytes_are_bounded_too_yet_one_larger_block_may_wait_alone()
    {
        await using var log = new InProcessChangeLog(capacity: 100, bytesMax: 10_000);
        var epoch = Guid.NewGuid();
        await log.PublishAsync(TestBlocks.Make(epoch, 0, bytes: 50_000), Stop);
        var second = log.PublishAsync(TestBlocks.Make(epoch, 1), Stop);
        await Task.Delay(50, Stop);
        Assert.False(second.IsCompleted);
        Archive = log;
        Assert.Equal([0UL, 1], await TakeAsync(BlockKind.Stream, 2));
        await second;
    }

    [Fact]
    public async Task A_closed_log_ends_those_who_wait()
    {
        var reading = TakeAsync(BlockKind.Stream, 1);
        await Archive.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => reading);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => Capture.PublishAsync(TestBlocks.Make(Guid.NewGuid(), 0), Stop));
    }
}
