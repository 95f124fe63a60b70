using System.Text;
using DuckDB.NET.Data;
using Npgsql;

namespace CrmBackup.Cdc.EndToEnd.Sql;

/// <summary>DuckDB, given nothing but what <c>crmbackup sql</c> prints. Each table's rows go from it, as text and with the exceptions in their
/// places, into a table of the same columns, so that PostgreSQL itself compares.</summary>
sealed class PrintedViews : IDisposable
{
    readonly DuckDBConnection _duck = new("DataSource=:memory:");

    public PrintedViews(string script)
    {
        _duck.Open();
        using var command = _duck.CreateCommand();
        command.CommandText = script;
        command.ExecuteNonQuery();
    }

    /// <summary>Every table as it was at <paramref name="moment"/>, asked for by position and by time.</summary>
    /// <param name="restored">A database with the schema of that moment; its rows are replaced.</param>
    /// <returns>What differs, in words.</returns>
    public async Task<IReadOnlyList<string>> DifferencesAsync(string restored, TrueState moment) =>
    [
        .. await DifferencesAsync(restored, moment, table => $"{Beside(table, "_at")}('{moment.Lsn}')"),
        .. await DifferencesAsync(restored, moment, table => $"{Beside(table, "_as_of")}('{moment.Time:yyyy-MM-dd HH:mm:ss.ffffffzzz}')"),
    ];

    /// <summary>The same of the tables as they are at the settled moment.</summary>
    public Task<IReadOnlyList<string>> NewestDifferencesAsync(string restored, TrueState moment) => DifferencesAsync(restored, moment, table => table);

    /// <summary>Rows as text; throws what DuckDB says.</summary>
    public List<string?[]> Texts(string sql)
    {
        using var command = _duck.CreateCommand();
        command.CommandText = sql;
        using var reader = command.ExecuteReader();
        var rows = new List<string?[]>();
        while (reader.Read())
            rows.Add([.. Enumerable.Range(0, reader.FieldCount).Select(i => reader.IsDBNull(i) ? null : Convert.ToString(reader.GetValue(i), System.Globalization.CultureInfo.InvariantCulture))]);
        return rows;
    }

    async Task<IReadOnlyList<string>> DifferencesAsync(string restored, TrueState moment, Func<string, string> view)
    {
        await using (var connection = new NpgsqlConnection(restored + ";Pooling=false;Command Timeout=120"))
        {
            await connection.OpenAsync();
            // Nothing but the rows: no checks between tables, no trigger.
            await ExecuteAsync(connection, $"SET session_replication_role = replica; TRUNCATE {string.Join(", ", moment.Tables.Keys)}");
            foreach (var table in moment.Tables.Keys)
                await LoadAsync(connection, table, view(table));
        }
        return (await TrueState.OfAsync(restored)).DifferencesFrom(moment);
    }

    async Task LoadAsync(NpgsqlConnection connection, string table, string view)
    {
        var columns = Texts($"DESCRIBE FROM {view}").Select(column => (Name: column[0]!, Type: column[1]!)).ToList();
        var exceptions = columns.Exists(column => column.Name == "_exceptions");
        var picked = columns.Where(column => column.Name != "_exceptions").Select(column =>
        {
            var text = column.Type == "BLOB" ? $"'\\x' || lower(hex({Quoted(column.Name)}))" : $"{Quoted(column.Name)}::VARCHAR";
            return exceptions ? $"coalesce(_exceptions ->> '{column.Name.Replace("'", "''", StringComparison.Ordinal)}', {text})" : text;
        });
        var rows = Texts($"SELECT {string.Join(", ", picked)} FROM {view}");
        // Generated columns are computed by whoever holds the rows, and have no place in a COPY.
        var written = await TrueState.ListAsync(connection, $"""
            SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '{table.Replace("'", "''", StringComparison.Ordinal)}'::regclass
              AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
            """);
        await using var copy = await connection.BeginTextImportAsync($"COPY {table} ({string.Join(", ", written)}) FROM STDIN");
        foreach (var row in rows)
            await copy.WriteAsync(string.Join('\t', row.Select(Escaped)) + "\n");
    }

    static async Task ExecuteAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    static string Escaped(string? value) => value is null ? "\\N" : new StringBuilder(value)
        .Replace("\\", "\\\\").Replace("\t", "\\t").Replace("\n", "\\n").Replace("\r", "\\r").ToString();

    /// <summary>The function beside a table's view.</summary>
    static string Beside(string table, string suffix) => table.EndsWith('"') ? $"{table[..^1]}{suffix}\"" : table + suffix;

    static string Quoted(string name) => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    public void Dispose() => _duck.Dispose();
}
