using System.Text.Json;
using System.Text.Json.Serialization;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Engine;

/// <summary>What a transaction's DDL messages told.</summary>
/// <param name="Tables">OIDs that they named.</param>
/// <param name="Vague">A command was not described: it may have touched anything.</param>
/// <param name="Ours">Capture did it: that says nothing of what the CRM did beside it.</param>
sealed record ToldDdl(ulong Xid, IReadOnlySet<uint> Tables, bool Vague, bool Ours = false);

/// <summary>Judges whether our messages explain what capture saw of the catalog (rule 15). A change is explained by a transaction with
/// messages that the newer of two looks sees and the older does not. Pure: the loop records gaps and reads anew.</summary>
sealed class CatalogDesk
{
    /// <summary>The vault's setting that remembers the last look, so that a change while capture was away is noticed too.</summary>
    public const string SettingName = "catalogSeen";

    /// <summary>More than this many between two looks are remembered by their newest alone.</summary>
    const int KeptMax = 100;
    readonly List<ToldDdl> _told = [];
    Look? _last;
    string? _kept;

    /// <param name="Told">Transactions with messages that the look did not see: at the next start what they did is no surprise.</param>
    internal sealed record Look(
        string Snapshot, Lsn Before, string Triggers, string Schema, string Columns, bool PublicationDamaged, IReadOnlyList<ulong> Told);

    /// <param name="After">Until here everything was told.</param>
    /// <param name="Tables">Touched without a word.</param>
    /// <param name="Publication">What became of our publication; null when it is as it was.</param>
    public sealed record Unexplained(Lsn After, string Reason, bool Schema, IReadOnlyList<uint> Tables, string? Publication);

    public CatalogDesk(VaultState state)
    {
        if (!state.Settings.TryGetValue(SettingName, out var kept) || kept.Length == 0)
            return;
        (_kept, _last) = (kept, JsonSerializer.Deserialize(kept, CatalogDeskJson.Default.Look));
        // What they named is not known any more.
        _told.AddRange(_last?.Told.Select(xid => new ToldDdl(xid, new HashSet<uint>(), Vague: false)) ?? []);
    }

    /// <summary>The last look's snapshot; null when there is none.</summary>
    public string? Seen => _last?.Snapshot;

    /// <summary>Until here everything was told, as far as is known.</summary>
    public Lsn Before => _last?.Before ?? Lsn.None;

    /// <summary>A transaction with DDL messages ended in the stream.</summary>
    public void Told(ToldDdl ddl)
    {
        _told.RemoveAll(told => told.Xid == ddl.Xid);
        if (_last is null || !Snapshot.Parse(_last.Snapshot).Sees(ddl.Xid))
            _told.Add(ddl);
    }

    /// <summary>What is known belongs to another database or to before a gap: the next look is the first.</summary>
    public void Forget()
    {
        _last = null;
        _told.Clear();
    }

    /// <summary>The stream has passed the look's position.</summary>
    /// <param name="hasMissingValue">True when a column of a table had a missing value, which VACUUM FULL writes out.</param>
    /// <returns>Null when nothing changed, or messages of ours explain it.</returns>
    public Unexplained? Judge(CatalogSeen seen, Func<uint, short, bool> hasMissingValue)
    {
        var now = Snapshot.Parse(seen.Snapshot);
        var before = _last;
        var window = _told.Where(told => now.Sees(told.Xid)).ToList();
        var named = window.SelectMany(told => told.Tables).ToHashSet();
        Remember(seen, now);
        if (before is null)
            return null;
        var silenced = before.Triggers != seen.Triggers;
        var spoken = window.Exists(ddl => !ddl.Ours);
        var excused = spoken && !silenced && !window.Exists(ddl => ddl.Vague);
        var tables = excused || before.Columns == seen.Columns ? []
            : seen.Touched.Where(table => !named.Contains(table.Oid) && !table.Columns.All(column => hasMissingValue(table.Oid, column)))
                .Select(table => table.Oid).ToList();
        var schema = silenced || ((before.Schema != seen.Schema || tables.Count > 0) && !spoken);
        var publication = before.PublicationDamaged ? null : seen.PublicationDamage;
        return schema || tables.Count > 0 || publication is not null
            ? new Unexplained(seen.UnchangedTo > before.Before ? seen.UnchangedTo : before.Before,
                silenced ? "our event triggers were changed: what happened meanwhile was not told" : "the schema was changed without a message of ours",
                schema, tables, publication)
            : null;
    }

    /// <summary>A look that found nothing else than the one before.</summary>
    public void Unchanged(CatalogSeen seen)
    {
        if (_last is { } last && (last.Triggers, last.Schema, last.Columns, last.PublicationDamaged)
            == (seen.Triggers, seen.Schema, seen.Columns, seen.PublicationDamage is not null))
            Remember(seen, Snapshot.Parse(seen.Snapshot));
    }

    void Remember(CatalogSeen seen, Snapshot now)
    {
        _last = new Look(seen.Snapshot, seen.Before, seen.Triggers, seen.Schema, seen.Columns, seen.PublicationDamage is not null, []);
        _told.RemoveAll(told => now.Sees(told.Xid));
    }

    /// <summary>What the next commit is to remember; null when the vault does already.</summary>
    public string? Kept()
    {
        var text = _last is null ? "" : JsonSerializer.Serialize(
            _last with { Told = [.. _told.TakeLast(KeptMax).Select(told => told.Xid)] }, CatalogDeskJson.Default.Look);
        if (text == (_kept ?? ""))
            return null;
        return _kept = text;
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, Converters = [typeof(LsnJson)])]
[JsonSerializable(typeof(CatalogDesk.Look))]
sealed partial class CatalogDeskJson : JsonSerializerContext;
