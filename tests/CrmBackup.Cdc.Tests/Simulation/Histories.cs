using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;

namespace CrmBackup.Cdc.Tests.Simulation;

/// <summary>Which history of the source a position of the vault speaks of. A source that was set back has several on one timeline; what the
/// vault says its newest transaction was, tells them apart.</summary>
sealed class Histories(SimulatedServer server, IMedium medium)
{
    readonly List<CoveredTo> _ends = [];
    long _read;

    /// <summary>All of a timeline, the oldest first.</summary>
    /// <exception cref="ViolationException">The timeline never was.</exception>
    public IReadOnlyList<Branch> On(uint timeline) => server.Branches.FindAll(branch => branch.Timeline == timeline) is { Count: > 0 } found ? found
        : throw new ViolationException($"the vault knows timeline {timeline}, which never was");

    /// <returns>More than one where the newest transaction stands in several.</returns>
    public IReadOnlyList<Branch> At(VaultState state, Position at)
    {
        var all = On(at.Timeline);
        if (all.Count == 1)
            return all;
        ReadTo(state.Head);
        var anchor = _ends.Find(end => end.Position.Timeline == at.Timeline && end.Position.Lsn >= at.Lsn)?.Anchor;
        return anchor is null ? all : [.. all.Where(branch => branch.Committed.Any(one => (one.End, one.Xid, one.Time) == (anchor.End, anchor.Xid, anchor.Time)))];
    }

    void ReadTo(long head)
    {
        while (_read < head)
        {
            var file = medium.ReadAsync(VaultPath.Commit(++_read), CancellationToken.None).GetAwaiter().GetResult()
                ?? throw new ViolationException($"commit {_read} is gone");
            if (!CommitCodec.IsTorn(file) && CommitCodec.Parse(_read, file).Content.CoveredTo is { } end)
                _ends.Add(end);
        }
    }
}
