using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Compares ranges of keys with what the archive expects in them, and reads those that differ, all under the snapshot of the open
/// transaction: as if every row of the ranges had been read by COPY.</summary>
static class KeyRangeReader
{
    /// <summary>Rule 18: what takes longer is no short transaction.</summary>
    const string TimeMax = "10s";
    /// <summary>Each range by the key's index, also where statistics are old: never one scan of the table after the other.</summary>
    const string ByIndex = "SET LOCAL enable_seqscan = off";
    /// <summary>128 MiB stay in memory: larger tables are compared only where rows lie about in the order of their keys, else each range would
    /// read pages of the whole table.</summary>
    const long ScatteredPagesMax = 16_384;
    const double CorrelationMin = 0.5;

    /// <returns>Why comparing would cost more than reading; null when it would not.</returns>
    public static async Task<string?> ObstacleAsync(NpgsqlConnection connection, CatalogTable table, short keyColumn, CancellationToken stop)
    {
        const string sql = """
            SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
                WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = $2 AND a.amname = 'btree'),
              (SELECT s.correlation::float8 FROM pg_stats s JOIN pg_attribute n ON n.attrelid = $1 AND n.attnum = $2 AND n.attname = s.attname
                WHERE s.schemaname = $3 AND s.tablename = $4 AND NOT s.inherited)
            """;
        await using var command = new NpgsqlCommand(sql, connection)
        {
            Parameters = { new() { Value = table.Oid, DataTypeName = "oid" }, new() { Value = keyColumn }, new() { Value = table.Schema }, new() { Value = table.Name } },
        };
        await using var row = await command.ExecuteReaderAsync(stop);
        await row.ReadAsync(stop);
        if (!row.GetBoolean(0))
            return $"no index of {table.Schema}.{table.Name} begins with its key column {keyColumn}";
        return table.Pages > ScatteredPagesMax && (row.IsDBNull(1) || Math.Abs(row.GetDouble(1)) < CorrelationMin)
            ? $"the rows of {table.Schema}.{table.Name} do not lie in the order of its key" : null;
    }

    /// <param name="published">As <see cref="PublishedRows"/> gives it.</param>
    /// <returns>The rows sent, and what was equal.</returns>
    /// <exception cref="PostgresException">Also when comparing takes too long: <see cref="PostgresErrorCodes.QueryCanceled"/>.</exception>
    public static async Task<(long Rows, RangesRead Read)> ReadAsync(
        NpgsqlConnection connection, CatalogTable table, string published, KeyRanges ranges, TakeRows take, CancellationToken stop)
    {
        var column = table.Columns.Single(one => one.AttNum == ranges.Column);
        var key = $"t.{SqlText.Identifier(column.Name)}";
        var type = OrderedKey.LimitType(column.TypeOid);
        await ExecuteAsync(connection, $"{ByIndex}; SET LOCAL statement_timeout = '{TimeMax}'", stop);
        var to = ranges.To ?? (ranges.Expected.Count > 0 ? null : await EndAsync(connection, $"FROM {published}", key, type, ranges, stop));
        var columns = string.Join(", ", table.Columns.Where(one => one.Generated == 'n').Select(one => $"t.{SqlText.Identifier(one.Name)}"));
        var copied = await DifferingAsync(connection, $"FROM {published}{Where(key, type, ranges.From, to)}", columns, key, type, ranges, stop);
        await ExecuteAsync(connection, "SET LOCAL statement_timeout = 0", stop);
        long rows = 0;
        foreach (var (from, end) in ranges.Expected.Count == 0 ? [(ranges.From, to)] : Joined(ranges, copied, to))
            rows += await CopyOut.RunAsync(connection, $"COPY (SELECT {columns} FROM {published}{Where(key, type, from, end)}) TO STDOUT", take, stop);
        return (rows, new RangesRead(copied, to));
    }

    /// <summary>A key after about as many rows as are to be read; null when there are not so many.</summary>
    static async Task<string?> EndAsync(NpgsqlConnection connection, string fromTable, string key, string type, KeyRanges ranges, CancellationToken stop)
    {
        // Above the first key: a part that ends where it begins would be followed by itself.
        var above = ranges.From is { } from ? $" WHERE {key} > {Limit(from, type)}" : "";
        await using var command = new NpgsqlCommand($"SELECT {key}::text {fromTable}{above} ORDER BY {key} OFFSET {ranges.RowsMax} LIMIT 1", connection);
        return await command.ExecuteScalarAsync(stop) as string;
    }

    static async Task<List<int>> DifferingAsync(
        NpgsqlConnection connection, string rows, string columns, string key, string type, KeyRanges ranges, CancellationToken stop)
    {
        if (ranges.Expected.Count == 0)
            return [];
        // OFFSET 0: what is sorted are hashes, not rows.
        var limits = string.Join(',', ranges.Expected.Skip(1).Select(range => SqlText.Literal(range.From!)));
        var sql = $"""
            SELECT place, count(*), {RangeHasher.SetSql("hash")} FROM (
              SELECT width_bucket({key}, ARRAY[{limits}]::{type}[]) AS place, {RangeHasher.RowSql(columns)} AS hash {rows} OFFSET 0) AS hashed
            GROUP BY place
            """;
        var differing = Enumerable.Range(0, ranges.Expected.Count).Where(place => ranges.Expected[place].Rows > 0).ToHashSet();
        await using var command = new NpgsqlCommand(sql, connection);
        await using var found = await command.ExecuteReaderAsync(stop);
        while (await found.ReadAsync(stop))
        {
            var place = found.GetInt32(0);
            if (found.GetInt64(1) == ranges.Expected[place].Rows && Sha256.From(found.GetFieldValue<byte[]>(2)) == ranges.Expected[place].Hash)
                differing.Remove(place);
            else
                differing.Add(place);
        }
        return [.. differing.Order()];
    }

    /// <summary>Neighbours are read together.</summary>
    static IEnumerable<(string? From, string? To)> Joined(KeyRanges ranges, List<int> places, string? end)
    {
        for (var i = 0; i < places.Count; i++)
        {
            var first = places[i];
            while (i + 1 < places.Count && places[i + 1] == places[i] + 1)
                i++;
            var next = places[i] + 1;
            yield return (first == 0 ? ranges.From : ranges.Expected[first].From, next < ranges.Expected.Count ? ranges.Expected[next].From : end);
        }
    }

    static string Where(string key, string type, string? from, string? to) => (from, to) switch
    {
        (null, null) => "",
        ({ } low, null) => $" WHERE {key} >= {Limit(low, type)}",
        (null, { } high) => $" WHERE {key} < {Limit(high, type)}",
        var (low, high) => $" WHERE {key} >= {Limit(low, type)} AND {key} < {Limit(high, type)}",
    };

    static string Limit(string key, string type) => $"{SqlText.Literal(key)}::{type}";

    static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(stop);
    }
}
