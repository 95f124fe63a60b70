using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>Definitions are read inside the transaction that sends them and take effect in the order of the commits. That is the truth only
/// where each saw what the ones before it did: one that was read earlier and committed later would undo them. Remembers who described and who
/// named which object, and tells when a transaction had not seen it.</summary>
/// <param name="known">Whatever has an id up to this one may have described anything.</param>
sealed class DefinitionOrder(ulong known)
{
    /// <summary>Keys remembered; beyond it everything so far counts as unknown, which can only open a gap too many.</summary>
    const int KeysMax = 200_000;

    readonly Dictionary<string, ulong> _described = [];
    readonly Dictionary<string, ulong> _named = [];
    ulong _known = known;
    ulong _newest = known;

    /// <summary>A transaction commits with these changes. Null when it had seen everything that they touch; else why not, in words.</summary>
    public string? Add(ulong xid, IReadOnlyList<SchemaChange> changes)
    {
        string? overtaken = null;
        foreach (var change in changes.Where(change => change.Seen is not null))
        {
            var seen = Snapshot.Parse(change.Seen!);
            if (seen.Xmin <= _known)
                overtaken ??= "it was described before the archive began to read";
            bool Unseen(Dictionary<string, ulong> by, string key) => by.TryGetValue(key, out var other) && other != xid && !seen.Sees(other);
            if (Described(change).FirstOrDefault(key => Unseen(_described, key) || Unseen(_named, key)) is { } one)
                overtaken ??= $"object {one} was changed by two transactions at once";
            if (Named(change).FirstOrDefault(key => Unseen(_described, key)) is { } other)
                overtaken ??= $"object {other} was changed while another that names it was described";
        }
        foreach (var change in changes)
        {
            foreach (var key in Described(change))
                _described[key] = xid;
            foreach (var key in Named(change))
                _named[key] = xid;
        }
        _newest = Math.Max(_newest, xid);
        if (_described.Count + _named.Count > KeysMax)
        {
            _described.Clear();
            _named.Clear();
            _known = _newest;
        }
        return overtaken;
    }

    static IEnumerable<string> Described(SchemaChange change) =>
        (change.Units ?? []).SelectMany(unit => (unit.Entries ?? []).Select(entry => entry.Key).Append(unit.Key))
            .Where(key => !key.StartsWith("0:", StringComparison.Ordinal)).Concat(change.Gone ?? []);

    static IEnumerable<string> Named(SchemaChange change) => (change.Units ?? []).SelectMany(unit => unit.On ?? []);
}
