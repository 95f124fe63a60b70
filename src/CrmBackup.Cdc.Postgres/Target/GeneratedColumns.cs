using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Columns for which no row brings a value: the target computes them.</summary>
public static class GeneratedColumns
{
    /// <param name="table">The table that has them, by its SQL name.</param>
    /// <param name="beside">The table that is to get them, and the columns that it has.</param>
    /// <returns>Null when there is no such table, or nothing to add.</returns>
    public static async Task<string?> AddingAsync(
        NpgsqlConnection connection, string table, (string Table, string[] Columns) beside, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("""
            SELECT string_agg(format('ADD COLUMN %I %s GENERATED ALWAYS AS (%s) %s', a.attname, format_type(a.atttypid, a.atttypmod),
                pg_get_expr(d.adbin, d.adrelid), CASE a.attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END), ', ' ORDER BY a.attnum)
            FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = to_regclass($1)::oid AND a.attgenerated <> '' AND NOT a.attisdropped AND a.attname <> ALL ($2)
            """, connection)
        {
            Parameters = { new() { Value = table }, new() { Value = beside.Columns } },
        };
        return await command.ExecuteScalarAsync(stop) is string added ? $"ALTER TABLE {beside.Table} {added}" : null;
    }
}
