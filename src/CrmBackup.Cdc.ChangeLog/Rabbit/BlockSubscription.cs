using CrmBackup.Cdc.Core;
using Microsoft.Extensions.Logging;
using RabbitMQ.Client;

namespace CrmBackup.Cdc.ChangeLog;

/// <summary>Blocks of one lane. A block in more parts than half the prefetch has its parts forgotten as they come, or it could never be
/// complete: such a block is lost when its reader ends half-way, and the hole in the numbers makes the archive ask again.</summary>
sealed class BlockSubscription(IChannel channel, BlockKind lane, int prefetch, ILogger log) : Subscription<Delivery>(channel)
{
    readonly PartJoiner _joiner = new();
    /// <summary>First message of the block being joined that the broker still holds for us.</summary>
    ulong _first;

    protected override async ValueTask<Delivery?> ArrivedAsync(ulong tag, IReadOnlyBasicProperties properties, ReadOnlyMemory<byte> body)
    {
        var part = BlockPart.Of(properties, body.Length);
        var block = _joiner.Add(part, body.Span, out var dropped);
        if (dropped)
        {
            log.IncompleteBlock(lane, part.Block);
            for (; _first > 0 && _first < tag; _first++)
                await ForgetAsync(_first);
            _first = 0;
        }
        if (block is null && !_joiner.IsWithin)
        {
            await ForgetAsync(tag);
            return null;
        }
        if (_first == 0)
            _first = tag;
        if (block is null)
        {
            if (part.Count > prefetch / 2)
            {
                await ForgetAsync(tag);
                _first = tag + 1;
            }
            return null;
        }
        if (block.Header.Kind != lane)
            throw new FormatViolationException($"a block of the lane {block.Header.Kind} came by the lane {lane}");
        var (first, last) = (_first, tag);
        _first = 0;
        return new Delivery(block, () => DoneAsync(first, last), undone => undone.Dispose());
    }

    async ValueTask DoneAsync(ulong first, ulong last)
    {
        for (var tag = first; tag <= last; tag++)
            await ForgetAsync(tag);
    }

    protected override void Release(Delivery item) => item.Block.Dispose();

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _joiner.Dispose();
    }
}
