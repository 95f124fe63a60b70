namespace CrmBackup.Cdc.Core;

/// <summary>What one DDL command did to the schema: whole definitions of the objects it touched and of those that name them, and what is no
/// more. Said in the command's own transaction; folded over the last dump, it gives the schema of every moment between.</summary>
/// <param name="Seen"><c>pg_current_snapshot()</c> before the catalog was read.</param>
/// <param name="Gone">Keys of dropped objects and parts of objects.</param>
/// <param name="GoneIndexes">Schema and name: REINDEX CONCURRENTLY gives an index another OID without a word.</param>
/// <param name="Whole">Classes of which every object is told anew.</param>
/// <param name="Undescribed">What was touched and could not be described.</param>
public sealed record SchemaChange(
    string? Seen = null, IReadOnlyList<ObjectDefinition>? Units = null, IReadOnlyList<string>? Gone = null,
    IReadOnlyList<IReadOnlyList<string>>? GoneIndexes = null, IReadOnlyList<uint>? Whole = null, string? Undescribed = null);

/// <summary>An object that is described whole: a table with its indexes and triggers, a view, a type, a function.</summary>
/// <param name="Class">OID of the catalog that it stands in.</param>
/// <param name="On">Keys of what it refers to.</param>
/// <param name="Entries">Null when it is of a kind that is not described.</param>
public sealed record ObjectDefinition(uint Class, uint Oid, IReadOnlyList<string>? On = null, IReadOnlyList<DefinitionEntry>? Entries = null)
{
    public string Key => KeyOf(Class, Oid);

    /// <summary><c>class:oid</c>.</summary>
    public static string KeyOf(uint objectClass, uint oid) => $"{objectClass}:{oid}";
}

/// <summary>An object or a part of one, as statements that make it.</summary>
/// <param name="Kind">In pg_dump's words: TABLE, INDEX, FK CONSTRAINT, ….</param>
/// <param name="Class">0 for what has no row of its own, as an attached partition.</param>
/// <param name="Post">After the rows.</param>
/// <param name="Name">Schema and name, of an index.</param>
/// <param name="Tablespace">Of an index or a table that does not stand in the default one.</param>
public sealed record DefinitionEntry(
    string Kind, uint Class, uint Oid, IReadOnlyList<string> Sql, bool Post = false, IReadOnlyList<string>? Name = null, string? Tablespace = null)
{
    public string Key => ObjectDefinition.KeyOf(Class, Oid);
}
