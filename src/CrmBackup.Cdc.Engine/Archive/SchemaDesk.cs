using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;

namespace CrmBackup.Cdc.Engine;

/// <summary>Decides when the schema is dumped, and for which positions a dump is exact: those that no DDL parts from its two barriers. Where
/// nothing better is known, a dump that described DDL parts is good too: folded with the definitions sent since its first barrier, which
/// tell anew whatever it may have seen half. Pure: the loop carries the orders and the files.</summary>
sealed class SchemaDesk
{
    /// <summary>The vault's setting that remembers where the last DDL ended.</summary>
    public const string LastDdl = "lastDdl";

    readonly TimeSpan _quiet;
    readonly List<(Lsn End, bool Described)> _ddl = [];
    /// <summary>A dump and the definitions since tell the stream's present schema.</summary>
    bool _known;
    Position _exactFrom;
    SchemaVersion? _open;
    ulong? _order;
    DateTimeOffset _notBefore;
    (IReadOnlyDictionary<string, byte[]> Files, SchemaDumped Dumped)? _waiting;

    /// <param name="start">The position from which the stream is read: nothing is known of DDL before.</param>
    public SchemaDesk(VaultState state, Position start, TimeSpan quiet)
    {
        _quiet = quiet;
        _open = state.Schemas.LastOrDefault(version => version.Until is null);
        _known = SchemaChoice.At(state, start) is { Exact: true };
        _exactFrom = state.Settings.TryGetValue(LastDdl, out var last) ? start with { Lsn = Lsn.Parse(last) } : start;
    }

    /// <summary>True until the stream's present schema is in the vault.</summary>
    public bool Needed => _open is null;

    /// <summary>A transaction with DDL ended here. Gives the version that ends with it.</summary>
    public SchemaVersion? Changed(Position end, bool described, DateTimeOffset now)
    {
        _exactFrom = end;
        _ddl.Add((end.Lsn, described));
        _known &= described;
        // Where nothing tells the present schema, a dump that DDL parts is better than one that waits until nobody changes anything.
        if (_known || _notBefore <= now)
            _notBefore = now + _quiet;
        if (_open is null)
            return null;
        var ended = _open with { Until = end };
        _open = null;
        return ended;
    }

    /// <summary>True when a dump is to be ordered now.</summary>
    public bool Wants(DateTimeOffset now) => Needed && _order is null && _waiting is null && now >= _notBefore;

    public DateTimeOffset NotBefore => _notBefore;

    public void Ordered(ulong order) => _order = order;

    /// <summary>True while a dump that was ordered is not answered.</summary>
    public bool IsOrdered => _order is not null;

    /// <summary>True when the order was ours; it will be repeated later.</summary>
    public bool Failed(ulong order, DateTimeOffset notBefore)
    {
        if (_order != order)
            return false;
        (_order, _notBefore) = (null, notBefore);
        return true;
    }

    /// <summary>Capture began anew: it knows none of our orders.</summary>
    public void ForgetOrders() => _order = null;

    /// <summary>True when the order was ours.</summary>
    public bool Answered(ulong order, IReadOnlyDictionary<string, byte[]> files, SchemaDumped dumped)
    {
        if (_order != order)
            return false;
        _order = null;
        _waiting = (files, dumped);
        return true;
    }

    /// <summary>The dump, once the stream has passed its second barrier, with the version it is: open where no DDL lies between the two.
    /// A dump that DDL parts is dropped, unless nothing else tells the schema and all of that DDL was described.</summary>
    public (IReadOnlyDictionary<string, byte[]> Files, Func<Sha256, SchemaVersion> Version)? Settled(Position passed)
    {
        if (_waiting is not { } waiting || passed.Lsn < waiting.Dumped.After.Lsn)
            return null;
        var (files, dumped) = waiting;
        _waiting = null;
        if (_open is not null)
            return null;
        var keyed = files.ContainsKey(SchemaUnits.PartsFile);
        _ddl.RemoveAll(ddl => ddl.End <= dumped.Before.Lsn);
        if (_ddl.Count == 0 && _exactFrom.Lsn <= dumped.Before.Lsn)
        {
            _known = keyed;
            var from = _exactFrom;
            return (files, hash => _open = new SchemaVersion(hash, from, null, keyed ? from.Lsn : null));
        }
        if (_known || !keyed || _ddl.Any(ddl => !ddl.Described))
            return null;
        _known = true;
        return (files, hash => new SchemaVersion(hash, dumped.After, dumped.After, dumped.Before.Lsn));
    }
}
