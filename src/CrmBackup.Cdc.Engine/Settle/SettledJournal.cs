using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Engine;

/// <summary>What log segments carry along beside their events, handed on to the segments that replace them.</summary>
sealed class SettledJournal(IReadOnlyList<SegmentEntry> logs)
{
    readonly List<CommitContent> _said = [];
    SegmentLink? _link;
    Sha256? _before;
    bool _broken;

    /// <summary>The next log segment, in order.</summary>
    /// <returns>What links the new segments; null when these log segments are no unbroken run (written before there were links).</returns>
    public SegmentLink? Take(SegmentDescription log)
    {
        _said.AddRange(SaidText.Decode(log.Said));
        _link ??= log.Link is { } first ? new SegmentLink(first.Before, logs[^1].ContentHash) : null;
        _broken |= log.Link is null || (_before is not null && log.Link.Before != _before);
        _before = log.ContentHash;
        return _broken ? null : _link;
    }

    public string? Said() => SaidText.Encode(_said);
}
