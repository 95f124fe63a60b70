namespace CrmBackup.Cdc.Core;

/// <summary>One column of a <see cref="CatalogTable"/>, from <c>pg_attribute</c>, live columns only.</summary>
/// <param name="Generated">'n' none, 's' stored, 'v' virtual: not in the stream before 18, recomputed at restore.</param>
public sealed record CatalogColumn(
    short AttNum, string Name, uint TypeOid, int TypeMod, string TypeName, bool NotNull, char Generated, string? MissingValue,
    ValueRule? Rule = null);

/// <summary>A table as the source's catalog describes it: from the inventory at start, or from a DDL message of ours,
/// which carries the whole image of each touched table in the transaction that touched it.</summary>
/// <param name="Kind"><c>relkind</c>: 'r' ordinary, 'p' partitioned.</param>
/// <param name="Persistence"><c>relpersistence</c>: 'p' permanent, 'u' unlogged, 't' temporary.</param>
/// <param name="KeyColumns">Attnums of the replica identity's index (primary key or chosen index); empty for FULL, NOTHING or none.</param>
/// <param name="FileNode"><c>pg_relation_filenode</c>: changes when the table is rewritten.</param>
/// <param name="Updates">Its updates and deletes are told: a publication of ours lists it for them, or a trigger of ours tells them.</param>
/// <param name="Pages"><c>pg_relation_size / 8192</c> at that moment: for planning chunks, not exact.</param>
public sealed record CatalogTable(
    uint Oid, string Schema, string Name, char Kind, char Persistence, ReplicaIdentity Identity,
    IReadOnlyList<short> KeyColumns, uint FileNode, long Pages, IReadOnlyList<CatalogColumn> Columns, bool Updates = true)
{
    /// <summary>The relation's shape as pgoutput carries it before PostgreSQL 18: without generated columns.</summary>
    public RelationShape ToShape(int number, int version, Lsn since) =>
        new(number, version, since, Oid, Schema, Name, Identity,
            [.. Columns.Where(column => column.Generated == 'n').Select(column => new ColumnShape(
                column.AttNum, column.Name, column.TypeOid, column.TypeMod, column.TypeName,
                Identity == ReplicaIdentity.Full || KeyColumns.Contains(column.AttNum), column.MissingValue, column.Rule))]);
}
