using System.Text.Json.Serialization;

namespace CrmBackup.Cdc.Core;

/// <summary>How a relation finds the row that an update or delete means (<c>pg_class.relreplident</c>).</summary>
public enum ReplicaIdentity : byte
{
    /// <summary>The primary key, if there is one.</summary>
    Default = (byte)'d',
    /// <summary>A chosen unique, NOT NULL index.</summary>
    Index = (byte)'i',
    /// <summary>The whole row.</summary>
    Full = (byte)'f',
    Nothing = (byte)'n',
}

/// <summary>One live column as the stream carries it.</summary>
/// <param name="AttNum">The column's number in <c>pg_attribute</c>: its identity. 0 when it was not captured (a schema gap is then recorded).</param>
/// <param name="TypeOid">OID of the type on the source.</param>
/// <param name="TypeMod"><c>atttypmod</c>, -1 when there is none.</param>
/// <param name="TypeName"><c>format_type()</c> under an empty search path, for example <c>numeric(12,2)</c> or <c>crm.stage</c>.</param>
/// <param name="IsKey">Part of the replica identity's key.</param>
/// <param name="MissingValue">Canonical text of <c>attmissingval</c>: what rows older than the column read; null = NULL.</param>
/// <param name="Rule">What the text of its values is made of, where DDL can change that; null for the other types.</param>
public sealed record ColumnShape(
    short AttNum, string Name, uint TypeOid, int TypeMod, string TypeName, bool IsKey, string? MissingValue = null, ValueRule? Rule = null);

/// <summary>The shape of a relation from one position on. The vault keeps every version; tuples name theirs.</summary>
/// <param name="Number">The vault's own number, one per incarnation of a table, from 1.</param>
/// <param name="Version">From 1, within the relation.</param>
/// <param name="Since">End LSN of the transaction that made it; the events of that transaction that follow it use it too.</param>
/// <param name="Oid"><c>pg_class.oid</c> on the source.</param>
/// <param name="Columns">In the order of the tuples, which is attnum order without dropped and unpublished columns.</param>
/// <param name="Dropped">The relation ended here; no tuple uses this version.</param>
public sealed record RelationShape(
    int Number, int Version, Lsn Since, uint Oid, string Schema, string Name, ReplicaIdentity Identity,
    IReadOnlyList<ColumnShape> Columns, bool Dropped = false)
{
    /// <summary>schema.table, unquoted: for people, never an identity.</summary>
    [JsonIgnore]
    public string FullName => $"{Schema}.{Name}";

    /// <summary>True when updates and deletes name their row by key; false when by the whole row (fold as a multiset).</summary>
    [JsonIgnore]
    public bool HasKey => Identity is ReplicaIdentity.Default or ReplicaIdentity.Index && Columns.Any(column => column.IsKey);

    /// <summary>Same columns, types, keys and name: a new version is not needed.</summary>
    public bool SameAs(RelationShape other) =>
        Oid == other.Oid && Schema == other.Schema && Name == other.Name && Identity == other.Identity
        && Dropped == other.Dropped && Columns.SequenceEqual(other.Columns);
}
