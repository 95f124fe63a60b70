using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What a transaction's definitions had not seen of the transactions committed before it.</summary>
/// <param name="Why">In words.</param>
/// <param name="Names">It described what names an object that another had changed: as a table whose column is of a type.</param>
/// <param name="Named">It changed an object that another's description names.</param>
/// <param name="Unknown">It changed a type, and descriptions from before the archive began to read may name that.</param>
sealed record Overtaken(string Why, bool Names, bool Named, bool Unknown);

/// <summary>Definitions are read inside the transaction that sends them and take effect in the order of the commits. That is the truth only
/// where each saw what the ones before it did: one that was read earlier and committed later would undo them. Remembers who described and who
/// named which object, and tells when a transaction had not seen it.</summary>
/// <param name="known">Whatever has an id up to this one may have described anything.</param>
sealed class DefinitionOrder(ulong known)
{
    /// <summary>Keys remembered; beyond it everything so far counts as unknown, which can only open a gap too many.</summary>
    const int KeysMax = 200_000;

    const uint TypeClass = 1247;
    readonly Dictionary<string, ulong> _described = [];
    readonly Dictionary<string, ulong> _named = [];
    ulong _known = known;
    ulong _newest = known;

    /// <summary>A transaction commits with these changes. Null when it had seen everything that they touch.</summary>
    public Overtaken? Add(ulong xid, IReadOnlyList<SchemaChange> changes)
    {
        string? why = null;
        var (names, named, unknown) = (false, false, false);
        foreach (var change in changes.Where(change => change.Seen is not null))
        {
            var seen = Snapshot.Parse(change.Seen!);
            if (seen.Xmin <= _known)
            {
                why ??= "it was described before the archive began to read";
                (names, unknown) = (true, unknown || (change.Units ?? []).Any(unit => unit.Class == TypeClass));
            }
            bool Unseen(Dictionary<string, ulong> by, string key) => by.TryGetValue(key, out var other) && other != xid && !seen.Sees(other);
            if (Described(change).FirstOrDefault(key => Unseen(_described, key)) is { } twice)
                why ??= $"object {twice} was changed by two transactions at once";
            if (Described(change).FirstOrDefault(key => Unseen(_named, key)) is { } one)
                (why, named) = (why ?? $"object {one} was changed while another that names it was described", true);
            if (Named(change).FirstOrDefault(key => Unseen(_described, key)) is { } other)
                (why, names) = (why ?? $"object {other} was changed while another that names it was described", true);
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
        return why is null ? null : new Overtaken(why, names, named, unknown);
    }

    static IEnumerable<string> Described(SchemaChange change) =>
        (change.Units ?? []).SelectMany(unit => (unit.Entries ?? []).Select(entry => entry.Key).Append(unit.Key))
            .Where(key => !key.StartsWith("0:", StringComparison.Ordinal)).Concat(change.Gone ?? []);

    static IEnumerable<string> Named(SchemaChange change) => (change.Units ?? []).SelectMany(unit => unit.On ?? []);
}
