using Npgsql;

namespace CrmBackup.Cdc.EndToEnd.Oracle;

/// <summary>A table as it stands now: the generator asks the database, and remembers nothing.</summary>
sealed record KnownTable(string Name, char Kind, bool IsPartition, bool Logged, IReadOnlyList<KnownColumn> Columns, IReadOnlyList<string> Key)
{
    public IEnumerable<KnownColumn> Writable => Columns.Where(column => !column.Generated);

    public static async Task<IReadOnlyList<KnownTable>> AllAsync(NpgsqlConnection connection)
    {
        const string sql = """
            SELECT c.oid::regclass::text, c.relkind::text, c.relispartition, c.relpersistence = 'p',
                array(SELECT quote_ident(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
                array(SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
                array(SELECT a.attgenerated <> '' OR a.attidentity = 'a' FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
                array(SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
                array(SELECT quote_ident(a.attname) FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
                      WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY a.attnum)
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname IN ('public', 'other') AND c.relkind IN ('r', 'p') ORDER BY n.nspname, c.relname
            """;
        await using var command = new NpgsqlCommand(sql, connection);
        await using var row = await command.ExecuteReaderAsync();
        var tables = new List<KnownTable>();
        while (await row.ReadAsync())
        {
            var (names, types) = (row.GetFieldValue<string[]>(4), row.GetFieldValue<string[]>(5));
            var (generated, required) = (row.GetFieldValue<bool[]>(6), row.GetFieldValue<bool[]>(7));
            tables.Add(new KnownTable(row.GetString(0), row.GetString(1)[0], row.GetBoolean(2), row.GetBoolean(3),
                [.. names.Select((name, i) => new KnownColumn(name, types[i], generated[i], required[i]))], row.GetFieldValue<string[]>(8)));
        }
        return tables;
    }
}

sealed record KnownColumn(string Name, string Type, bool Generated, bool Required);
