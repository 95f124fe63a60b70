namespace CrmBackup.Cdc.Postgres;

/// <summary>The tables whose rows our publication sends, from the catalog alone. <c>pg_get_publication_tables</c> opens each of them since 16: it waits
/// behind an ALTER TABLE, and fails ("could not open relation") where one is dropped meanwhile.</summary>
static class PublishedTables
{
    /// <summary>A query of <c>relid</c>: ordinary, permanent tables, leaf partitions one by one.</summary>
    /// <param name="major">Of the server.</param>
    public static string Sql(int major) => $"""
        SELECT c.oid AS relid
        FROM crmbackup.settings m JOIN pg_publication p ON p.pubname = m.value CROSS JOIN pg_class c
        WHERE m.key = 'publication' AND c.oid >= {FirstNormalOid} AND c.relkind = 'r' AND c.relpersistence = 'p' AND (p.puballtables
          OR EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = c.oid)
          OR c.relispartition AND EXISTS (SELECT FROM pg_publication_rel r JOIN pg_partition_ancestors(c.oid) a ON a.relid = r.prrelid WHERE r.prpubid = p.oid)
          {(major < 15 ? "" : """
          OR EXISTS (SELECT FROM pg_publication_namespace n WHERE n.pnpubid = p.oid AND n.pnnspid = c.relnamespace)
          OR c.relispartition AND EXISTS (SELECT FROM pg_publication_namespace n JOIN pg_class parent ON parent.relnamespace = n.pnnspid
            JOIN pg_partition_ancestors(c.oid) a ON a.relid = parent.oid WHERE n.pnpubid = p.oid)
          """)})
        """;

    /// <summary>Below it are the system's own.</summary>
    const int FirstNormalOid = 16384;
}
