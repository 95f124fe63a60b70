using System.Text;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The rows with given keys, by the table's own key index: each key text becomes a value of the column's type and is compared
/// with the index's own operator, wherever that lives (our search_path holds no user schema).</summary>
static class KeyedRows
{
    /// <summary>A few thousand index look-ups, never a scan of the table.</summary>
    public const string Settings = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

    /// <param name="published">As <see cref="PublishedRows"/> gives it.</param>
    /// <param name="keys">Column texts in the order of <see cref="CatalogTable.KeyColumns"/>.</param>
    public static async Task<string> SqlAsync(
        NpgsqlConnection connection, CatalogTable table, string published, IReadOnlyList<IReadOnlyList<string>> keys, CancellationToken stop)
    {
        Invariant.Holds(table.KeyColumns.Count > 0, $"rows of {table.Schema}.{table.Name} were asked for by key, and it has none");
        var columns = table.KeyColumns.Select(number => table.Columns.Single(column => column.AttNum == number)).ToList();
        var operators = await OperatorsAsync(connection, table, stop);
        var sql = new StringBuilder("COPY (SELECT ");
        sql.AppendJoin(", ", table.Columns.Where(column => column.Generated == 'n').Select(column => $"t.{SqlText.Identifier(column.Name)}"));
        sql.Append(" FROM unnest(");
        for (var i = 0; i < columns.Count; i++)
        {
            sql.Append(i == 0 ? "ARRAY[" : ", ARRAY[");
            sql.AppendJoin(',', keys.Select(key => SqlText.Literal(key[i])));
            sql.Append("]::").Append(columns[i].TypeName).Append("[]");
        }
        sql.Append(") AS k (").AppendJoin(", ", columns.Select((_, i) => $"k{i}"));
        sql.Append(") JOIN ").Append(published).Append(" ON ");
        sql.AppendJoin(" AND ", columns.Select((column, i) =>
            $"t.{SqlText.Identifier(column.Name)} OPERATOR({operators[column.AttNum]}) k.k{i}"));
        return sql.Append(") TO STDOUT").ToString();
    }

    static async Task<Dictionary<short, string>> OperatorsAsync(NpgsqlConnection connection, CatalogTable table, CancellationToken stop)
    {
        // Strategy 3 of a B-tree's family is equality.
        const string sql = """
            SELECT i.indkey[k.place]::smallint, n.nspname::text, o.oprname::text
            FROM pg_index i
            CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS k (place)
            JOIN pg_opclass c ON c.oid = i.indclass[k.place]
            JOIN pg_amop a ON a.amopfamily = c.opcfamily AND a.amoplefttype = c.opcintype AND a.amoprighttype = c.opcintype
                AND a.amopstrategy = 3
            JOIN pg_operator o ON o.oid = a.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
            JOIN pg_class t ON t.oid = i.indrelid
            WHERE i.indrelid = $1 AND CASE t.relreplident WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
            """;
        var operators = new Dictionary<short, string>();
        await using var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = table.Oid, DataTypeName = "oid" } } };
        await using var rows = await command.ExecuteReaderAsync(stop);
        while (await rows.ReadAsync(stop))
            // An operator's name is written as it is, its schema as an identifier.
            operators[rows.GetInt16(0)] = $"{SqlText.Identifier(rows.GetString(1))}.{rows.GetString(2)}";
        return operators;
    }
}
