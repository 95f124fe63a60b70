using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Decides which blocks of the stream lane continue the epoch. Numbers and hash links prove only that nothing is missing
/// inside the epoch; what the vault already holds is recognised by position.</summary>
sealed class EpochOrder(Guid epoch)
{
    ulong _next;
    Sha256 _previous = Sha256.Zero;

    public Guid Epoch { get; } = epoch;

    public bool Started => _next > 0;

    public enum Verdict
    {
        /// <summary>The next block of the epoch.</summary>
        Take,
        /// <summary>Of another epoch, or delivered a second time: drop it.</summary>
        Drop,
        /// <summary>Something is missing or contradicts: ask for a new epoch.</summary>
        Doubt,
    }

    public Verdict Judge(Block block)
    {
        var header = block.Header;
        if (header.Epoch != Epoch)
            return Verdict.Drop;
        if (header.Number < _next)
            // Number 0 again: capture started over, so the rest of what we had will not come.
            return header.Number == 0 ? Verdict.Doubt : Verdict.Drop;
        if (header.Number > _next || header.Previous != _previous)
            return Verdict.Doubt;
        _next++;
        _previous = block.Hash;
        return Verdict.Take;
    }
}
