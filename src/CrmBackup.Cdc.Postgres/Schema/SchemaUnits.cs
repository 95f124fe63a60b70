using System.Text;
using System.Text.Json;
using CrmBackup.Cdc.Core;

namespace CrmBackup.Cdc.Postgres;

/// <summary>A dump taken apart into the objects that are described whole, so that what was said of them since can be put in their place.</summary>
public sealed class SchemaUnits
{
    /// <summary>The file of a stored schema that says which object is part of which.</summary>
    public const string PartsFile = "catalog.json";

    /// <summary>In this order statements are tried; one that needs another finds it at the latest in a later pass. Others come with the functions.</summary>
    static readonly string[] _order =
    [
        "SCHEMA", "EXTENSION", "FOREIGN DATA WRAPPER", "SERVER", "SHELL TYPE", "TYPE", "DOMAIN", "FUNCTION", "AGGREGATE", "SEQUENCE", "TABLE", "FOREIGN TABLE",
        "SEQUENCE OWNED BY", "DEFAULT", "IDENTITY", "TABLE ATTACH", "VIEW", "MATERIALIZED VIEW", "CONSTRAINT", "INDEX", "INDEX ATTACH", "CHECK CONSTRAINT",
        "FK CONSTRAINT", "RULE", "TRIGGER", "ROW SECURITY", "POLICY", "STATISTICS", "PUBLICATION", "PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA",
        "EVENT TRIGGER", "COMMENT", "SECURITY LABEL", "ACL", "DEFAULT ACL",
    ];

    readonly List<(string? Unit, SchemaEntry Entry)> _entries;

    SchemaUnits(IReadOnlyList<string> preamble, List<(string?, SchemaEntry)> entries) => (Preamble, _entries) = (preamble, entries);

    /// <summary>Settings to make on the connection first.</summary>
    public IReadOnlyList<string> Preamble { get; }

    /// <returns>Null when the dump's entries cannot be told apart: it was stored before definitions were sent.</returns>
    public static SchemaUnits? Of(IReadOnlyDictionary<string, byte[]> files)
    {
        if (!files.TryGetValue(PartsFile, out var partsFile))
            return null;
        var parts = DumpParts.Parse(partsFile);
        var preamble = new List<string>();
        var dumped = new List<DumpEntry>();
        foreach (var (file, post) in new[] { ("pre-data.sql", false), ("post-data.sql", true) })
        {
            if (DumpScript.Parse(Encoding.UTF8.GetString(files[file]), post, post ? [] : preamble) is not { } entries)
                return null;
            dumped.AddRange(entries);
        }
        var byNumber = dumped.DistinctBy(entry => entry.Number).ToDictionary(entry => entry.Number);
        return new SchemaUnits(preamble, [.. dumped.Select(entry => (parts.UnitOf(entry, byNumber), new SchemaEntry(
            entry.Class == 0 ? null : ObjectDefinition.KeyOf(entry.Class, entry.Oid), entry.Kind, entry.Post,
            entry.Kind == "INDEX" ? (entry.Schema, entry.Name) : null, entry.Tablespace, entry.Method, entry.Statements)))]);
    }

    /// <summary>What a command did. Changes come in the order of their commits.</summary>
    public void Apply(SchemaChange change)
    {
        var gone = (change.Gone ?? []).Concat((change.Units ?? []).Select(unit => unit.Key)).ToHashSet();
        var whole = (change.Whole ?? []).Select(one => $"{one}:").ToList();
        var indexes = (change.GoneIndexes ?? []).Select(name => (name[0], name[1])).ToHashSet();
        _entries.RemoveAll(one =>
            (one.Unit is { } unit && (gone.Contains(unit) || whole.Exists(prefix => unit.StartsWith(prefix, StringComparison.Ordinal))))
            || (one.Entry.Key is { } key && gone.Contains(key)) || (one.Entry.Index is { } index && indexes.Contains(index)));
        foreach (var unit in change.Units ?? [])
            foreach (var entry in unit.Entries ?? [])
                _entries.Add((unit.Key, new SchemaEntry(
                    entry.Class == 0 ? null : entry.Key, entry.Kind, entry.Post, entry.Name is [var schema, var name] ? (schema, name) : null,
                    entry.Tablespace is { } tablespace ? SqlText.Identifier(tablespace) : null, null, entry.Sql)));
    }

    public IReadOnlyList<SchemaEntry> Entries(bool post) =>
        [.. _entries.Select(one => one.Entry).Where(entry => entry.Post == post).OrderBy(entry => Place(entry.Kind))];

    static int Place(string kind) => Array.IndexOf(_order, kind) is >= 0 and var place ? place : Array.IndexOf(_order, "FUNCTION");

    /// <summary>Which object a dump's entry belongs to.</summary>
    sealed record DumpParts(
        IReadOnlyDictionary<string, string> Parts, IReadOnlyDictionary<(string Schema, string Name), string> Relations, IReadOnlyDictionary<string, string> Schemas)
    {
        public static DumpParts Parse(byte[] file)
        {
            using var json = JsonDocument.Parse(file);
            return new DumpParts(
                json.RootElement.GetProperty("parts").EnumerateObject().ToDictionary(part => part.Name, part => part.Value.GetString()!),
                json.RootElement.GetProperty("relations").EnumerateArray().DistinctBy(one => (OneLine(one[0]), OneLine(one[1])))
                    .ToDictionary(one => (OneLine(one[0]), OneLine(one[1])), one => one[2].GetString()!),
                json.RootElement.GetProperty("schemas").EnumerateObject().ToDictionary(one => OneLine(one.Name), one => one.Value.GetString()!));
        }

        /// <returns>Null: of nothing that can change without a dump.</returns>
        public string? UnitOf(DumpEntry entry, IReadOnlyDictionary<int, DumpEntry> byNumber)
        {
            if (entry.Class != 0)
            {
                var key = ObjectDefinition.KeyOf(entry.Class, entry.Oid);
                return Parts.GetValueOrDefault(key, key);
            }
            if (entry.Kind is not ("COMMENT" or "SECURITY LABEL" or "ACL"))
                return Relations.GetValueOrDefault((entry.Schema, entry.Name));
            foreach (var on in entry.DependsOn)
                if (byNumber.TryGetValue(on, out var other) && other.Number != entry.Number && UnitOf(other, byNumber) is { } unit)
                    return unit;
            return entry.Name.StartsWith("SCHEMA ", StringComparison.Ordinal) ? Schemas.GetValueOrDefault(entry.Name["SCHEMA ".Length..]) : null;
        }

        static string OneLine(JsonElement name) => OneLine(name.GetString()!);

        /// <summary>As pg_dump prints names in its comments.</summary>
        static string OneLine(string name) => name.Replace('\n', ' ').Replace('\r', ' ');
    }
}

/// <summary>Statements that make one object, in order; the first makes it, the others say more of it.</summary>
/// <param name="Key">Null for what has no OID of its own.</param>
/// <param name="Index">Schema and name of an index.</param>
/// <param name="Tablespace">As SQL; null = the default one.</param>
/// <param name="Method">As SQL; null = that of the server.</param>
public sealed record SchemaEntry(
    string? Key, string Kind, bool Post, (string Schema, string Name)? Index, string? Tablespace, string? Method, IReadOnlyList<string> Statements);
