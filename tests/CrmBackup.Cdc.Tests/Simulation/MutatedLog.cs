using System.Runtime.CompilerServices;
using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>A change log around which rules of the protocol are broken. Blocks that a mutation lets through are cut and linked anew, so that
/// nothing behind can notice.</summary>
sealed class MutatedLog(IChangeLog inner, World world) : IChangeLog
{
    Guid _epoch;
    Sha256 _previous;
    ulong _next;

    public async Task PublishAsync(Block block, CancellationToken stop)
    {
        var (kind, after, before) = (block.Header.Kind, block.Header.After, block.Header.Before);
        await inner.PublishAsync(block, stop);
        if (world.Options.Mutation == Mutation.ConfirmOnPublish && kind == BlockKind.Stream && after > before)
            world.Server.Confirm(after);
    }

    public IAsyncEnumerable<ArchiveRequest> RequestsAsync(CancellationToken stop) => inner.RequestsAsync(stop);

    public Task RequestAsync(ArchiveRequest request, CancellationToken stop)
    {
        if (request is StartStream start && start.Epoch != _epoch)
            (_epoch, _previous, _next) = (start.Epoch, Sha256.Zero, 0);
        return inner.RequestAsync(request, stop);
    }

    public async IAsyncEnumerable<Delivery> ReadAsync(BlockKind lane, [EnumeratorCancellation] CancellationToken stop)
    {
        await foreach (var delivery in inner.ReadAsync(lane, stop))
        {
            if (lane == BlockKind.Answer)
            {
                yield return delivery;
                continue;
            }
            var header = delivery.Block.Header;
            if (world.Options.Mutation == Mutation.ConfirmBeforeCommit && header.Epoch == _epoch && header.After > header.Before)
                await inner.RequestAsync(new DurableAt(_epoch, new Position(header.Timeline, header.After)), stop);
            if (await LinkedAnewAsync(delivery) is { } passed)
                yield return passed;
        }
    }

    async ValueTask<Delivery?> LinkedAnewAsync(Delivery delivery)
    {
        var header = delivery.Block.Header;
        var passes = world.Options.Mutation switch
        {
            Mutation.DropByBlockNumber => header.Epoch == _epoch && (header.Number == 0 || header.Number > world.HighestBlock),
            Mutation.EpochIgnored => true,
            Mutation.MissingBlockAccepted => header.Epoch == _epoch,
            _ => (bool?)null,
        };
        if (passes is null)
            return delivery;
        world.HighestBlock = header.Epoch == _epoch ? Math.Max(world.HighestBlock, header.Number) : world.HighestBlock;
        if (passes == false)
        {
            await delivery.DoneAsync();
            await delivery.DisposeAsync();
            return null;
        }
        var builder = new BlockBuilder();
        foreach (var entry in delivery.Block)
            builder.Add(entry.Span);
        var block = builder.Cut(header with { Epoch = _epoch, Number = _next++, Previous = _previous });
        _previous = block.Hash;
        return new Delivery(block, async () => await delivery.DoneAsync(), undone => undone.Dispose());
    }

    public ValueTask DisposeAsync() => inner.DisposeAsync();
}
