using System.Text;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

/// <summary>Every built-in type with its odd values, odd names, odd keys, values that an event does not carry: through base, log segments,
/// table segments and restore.</summary>
[Collection("postgres")]
public sealed class ValueTests(PostgresFixture postgres, ITestOutputHelper output)
{
    const string Names = """"
        CREATE SCHEMA "Odd.Schema"; CREATE TYPE mood AS ENUM ('sad', 'ok''s', 'a "b" \ c'); CREATE TYPE pair AS (x integer, y text);
        CREATE FUNCTION "Odd.f"(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1';
        CREATE TYPE nest AS (p pair, ps pair[], m mood, "odd, name" numeric); CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
        CREATE DOMAIN nests AS nest[]; CREATE TYPE moods AS RANGE (subtype = mood);
        CREATE TABLE "Odd.""Table
        " ("id.""x" integer PRIMARY KEY, _op text, _commit_lsn text, _commit_time text, _xid text, _seq text, _unchanged text, _old text, _row text, _exceptions text,
          "_OP" text, "dätum,'""" integer, "line
        break" text, "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc1" text);
        CREATE TABLE "Odd.Schema"."tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt1" (id integer PRIMARY KEY, date text, file_row_number text);
        CREATE TABLE "Odd.Schema"."Odd.""Table
        " (v text);
        CREATE TABLE made (id integer PRIMARY KEY, m mood, n nest, ns nests, d positive, ms mood[], r moods, rs moods[], c text COLLATE "C");
        CREATE TABLE nothing ();
        """";

    const string Fill = """
        INSERT INTO "Odd.""Table
        " SELECT i, 'o', 'l', 't', 'x', NULL, 'u', 'old', 'r', 'e', 'O', i, E'a\nb', 'c' FROM generate_series({0}, {0} + 5) i;
        INSERT INTO "Odd.Schema"."tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt1" SELECT i, 'd', 'f' FROM generate_series({0}, {0} + 5) i;
        INSERT INTO "Odd.Schema"."Odd.""Table
        " SELECT 'v' FROM generate_series(1, 4) i;
        INSERT INTO made VALUES ({0}, 'a "b" \ c', (row(1, 'a,"b"\'), ARRAY[row(NULL, '')::pair, NULL, row(2, NULL)::pair], 'ok''s', 'NaN'), ARRAY[row(NULL, NULL, NULL, NULL)::nest],
          1, ARRAY['sad', NULL]::mood[], '[sad,"ok''s"]', ARRAY['empty'::moods, '(,)'], '{}'), ({0} + 1, NULL, NULL, '{}', NULL, '{}', NULL, NULL, '');
        INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
        """;

    [Fact]
    public async Task Every_built_in_type_and_every_odd_value_and_name_comes_back()
    {
        var columns = await ColumnsAsync();
        await using var story = await Story.BeginAsync(postgres.Server, output, [Names, Tables(columns), .. Rows(columns, 0), Fill.Replace("{0}", "0", StringComparison.Ordinal), Wide(0)]);
        await story.RecordAsync();
        await story.ThenAsync([.. Rows(columns, 1000), Fill.Replace("{0}", "100", StringComparison.Ordinal), Wide(10)]);
        await story.ThenAsync(
            // Nothing but the marker is written: what is large or odd beside it must stay.
            "UPDATE every SET marker = 'moved' WHERE id % 2 = 0; UPDATE every_whole SET marker = 'moved' WHERE id % 3 = 0; UPDATE wide SET c2 = 7",
            "DELETE FROM every WHERE id % 5 = 1; DELETE FROM every_whole WHERE id % 4 = 1",
            string.Concat(Keys(columns).Select(key => $"UPDATE {key.Table} SET v = v + 1; DELETE FROM {key.Table} WHERE v = 3;")),
            """
            UPDATE "Odd.""Table
            " SET _op = 'changed', "id.""x" = "id.""x" + 1000 WHERE "id.""x" % 2 = 0; DELETE FROM "Odd.Schema"."Odd.""Table
            " WHERE ctid IN (SELECT ctid FROM "Odd.Schema"."Odd.""Table
            " LIMIT 3);
            DELETE FROM nothing WHERE ctid IN (SELECT ctid FROM nothing LIMIT 1); UPDATE made SET d = 2
            """,
            "ALTER TYPE mood ADD VALUE 'glad' BEFORE 'sad'", "UPDATE made SET m = 'glad', ms = ms || 'glad'::mood");
        await story.ThenAsync("DELETE FROM wide WHERE id = 3; TRUNCATE nothing; INSERT INTO nothing DEFAULT VALUES", Fill.Replace("{0}", "200", StringComparison.Ordinal));
        await story.MustComeBackAsync();
    }

    [Fact]
    public async Task A_database_whose_text_may_be_any_bytes_is_refused_in_words()
    {
        var database = $"ascii_{Guid.NewGuid().ToString("n")[..8]}";
        await postgres.Server.ExecuteAsync($"CREATE DATABASE {database} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'");
        foreach (var verb in new[] { "init", "check" })
        {
            string[] vault = verb == "init" ? ["--vault", Path.Combine(Path.GetTempPath(), database)] : [];
            var refused = await Crmbackup.RunAsync([verb, "--source", postgres.Server.ConnectionString(database), .. vault]);
            refused.MustBe(3);
            Assert.Contains("SQL_ASCII", refused.Output + refused.Errors);
        }
        await postgres.Server.DropDatabaseAsync(database);
    }

    /// <summary>A document of 50 MB beside small columns, in a base and in the stream, and updates that do not carry it.</summary>
    [Fact]
    [Trait("Run", "Full")]
    public async Task A_very_long_text_comes_back()
    {
        const string Long = "(SELECT string_agg(md5(i::text), '') FROM generate_series({0}, {0} + 1640000) i)";
        static string From(int first) => Long.Replace("{0}", $"{first}", StringComparison.Ordinal);
        await using var story = await Story.BeginAsync(postgres.Server, output,
            "CREATE TABLE documents (id integer PRIMARY KEY, n integer, body text, raw bytea)", $"INSERT INTO documents VALUES (1, 0, {From(1)}, NULL)");
        await story.ThenAsync($"INSERT INTO documents VALUES (2, 0, {From(5)}, convert_to({From(7)}, 'UTF8'))");
        await story.ThenAsync("UPDATE documents SET n = n + 1", "UPDATE documents SET id = id + 10 WHERE id = 1");
        await story.MustComeBackAsync();
    }

    async Task<IReadOnlyList<(string Type, IReadOnlyList<string> Values)>> ColumnsAsync()
    {
        var columns = (await TypeValues.OfAsync(postgres.Server, "postgres")).ToList();
        foreach (var (extension, type, values) in new (string, string, string[])[]
        {
            ("hstore", "hstore", ["'a=>1, \"b c\"=>NULL'::hstore", "''::hstore"]), ("citext", "citext", ["'Abc'::citext", "'aBC'::citext"]),
            ("ltree", "ltree", ["'a.b'::ltree"]), ("cube", "cube", ["'(0.1,2),(3,4)'::cube"]),
        })
            if ((long)(await postgres.Server.ExecuteAsync($"SELECT count(*) FROM pg_available_extensions WHERE name = '{extension}'"))! > 0)
                columns.Add((type, values));
        output.WriteLine($"{columns.Count} types");
        return columns;
    }

    static string Tables(IReadOnlyList<(string Type, IReadOnlyList<string> Values)> columns)
    {
        var sql = new StringBuilder();
        foreach (var extension in columns.Select(column => column.Type).Where(type => type is "hstore" or "citext" or "ltree" or "cube"))
            sql.Append($"CREATE EXTENSION {extension};\n");
        var list = string.Join(", ", columns.Select((column, i) => $"c{i} {column.Type}"));
        sql.Append($"CREATE TABLE every (id integer PRIMARY KEY, marker text, {list}); CREATE TABLE every_whole (id integer, marker text, {list});\n");
        foreach (var key in Keys(columns))
            sql.Append($"CREATE TABLE {key.Table} (k {key.Type} PRIMARY KEY, v integer);\n");
        return sql.Append($"CREATE TABLE wide (id integer PRIMARY KEY, {string.Join(", ", Enumerable.Range(2, 1599).Select(i => $"c{i} integer"))})").ToString();
    }

    static string Wide(int first) => $"""
        INSERT INTO wide (id, c2, c1600) SELECT i, i, -i FROM generate_series({first} + 1, {first} + 5) i; INSERT INTO wide VALUES ({first} + 6, {string.Join(", ", Enumerable.Range(2, 1599))})
        """;

    static IEnumerable<string> Rows(IReadOnlyList<(string Type, IReadOnlyList<string> Values)> columns, int first)
    {
        for (var row = 0; row <= columns.Max(column => column.Values.Count); row++)
        {
            // The last one is all NULL; identical rows in the table without a key.
            var values = string.Join(", ", columns.Select(column => row == columns.Max(one => one.Values.Count) ? "NULL" : column.Values[row % column.Values.Count]));
            yield return $"INSERT INTO every VALUES ({first + row}, 'set', {values}); INSERT INTO every_whole VALUES ({first + row}, 'set', {values}), ({first + row}, 'set', {values})";
        }
        yield return string.Concat(Keys(columns).Select(key => string.Concat(key.Values.Select((value, i) =>
            $"INSERT INTO {key.Table} VALUES ({value}, {i}) ON CONFLICT (k) DO UPDATE SET v = 100 + {i};"))));
    }

    /// <summary>Tables whose key is of each type that an index can order.</summary>
    static IEnumerable<(string Table, string Type, IReadOnlyList<string> Values)> Keys(IReadOnlyList<(string Type, IReadOnlyList<string> Values)> columns) =>
        columns.Select((column, i) => ($"key_{i}", column.Type, column.Values)).Where(key => _ordered.Contains(key.Type));

    static readonly HashSet<string> _ordered =
    [
        "bytea", "\"char\"", "name", "bigint", "text", "bpchar", "jsonb", "double precision", "money", "inet", "date", "time with time zone",
        "timestamp with time zone", "interval", "bit varying", "numeric", "tsvector", "numrange", "numeric(12,3)", "numeric[]", "hstore", "citext", "regclass",
    ];
}
