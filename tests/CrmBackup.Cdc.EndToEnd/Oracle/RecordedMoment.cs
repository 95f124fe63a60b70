using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;
using Npgsql;

namespace CrmBackup.Cdc.EndToEnd.Oracle;

/// <summary>Everything a database holds, row by row as PostgreSQL itself writes it, and its schema as pg_dump does.</summary>
/// <param name="Tables">Rows by table, sorted; the first line has the columns and their types.</param>
sealed record RecordedMoment(
    string Lsn, DateTimeOffset Time, IReadOnlyDictionary<string, IReadOnlyList<string>> Tables, IReadOnlyDictionary<string, KnownSequence> Sequences, string Schema)
{
    const string Canonical = "SET datestyle='ISO'; SET intervalstyle='postgres'; SET timezone='UTC'; SET extra_float_digits=3; "
        + "SET bytea_output='hex'; SET search_path=pg_catalog; SET lc_monetary='C';";
    /// <summary>Long values are compared by their hash.</summary>
    const int LineMax = 160;

    static readonly Regex NumberedNotNull = new(@" CONSTRAINT \w+_not_null\d+ NOT NULL");

    public int Rows => Tables.Values.Sum(rows => rows.Count - 1);

    /// <summary>Reads a database that nobody writes to at this moment.</summary>
    public static async Task<RecordedMoment> OfAsync(PostgresServer server, string connectionString, bool schema = true)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false;Command Timeout=120");
        await connection.OpenAsync();
        await using (var settings = new NpgsqlCommand(Canonical, connection))
            await settings.ExecuteNonQueryAsync();
        var lsn = (await TrueState.ListAsync(connection, "SELECT pg_current_wal_insert_lsn()::text"))[0];
        var time = DateTimeOffset.Parse((await TrueState.ListAsync(connection, "SELECT clock_timestamp()::text"))[0]);
        var tableNames = await TrueState.ListAsync(connection, """
            SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'crmbackup')
            """);
        var tables = new SortedDictionary<string, IReadOnlyList<string>>(StringComparer.Ordinal);
        foreach (var name in tableNames)
        {
            // By name: their order is the schema's business, which is compared where it is said to be exact.
            var columns = await TrueState.ListAsync(connection, $"""
                SELECT quote_ident(attname) || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
                WHERE attrelid = '{name.Replace("'", "''")}'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
                ORDER BY attname
                """);
            var names = await TrueState.ListAsync(connection, $"""
                SELECT quote_ident(attname) FROM pg_attribute
                WHERE attrelid = '{name.Replace("'", "''")}'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
                ORDER BY attname
                """);
            var rows = await TrueState.ListAsync(connection, $"SELECT t::text FROM (SELECT {string.Join(", ", names)} FROM ONLY {name}) t");
            tables[name] = [string.Join(", ", columns), .. rows.Select(Short).Order(StringComparer.Ordinal)];
        }
        var sequences = new Dictionary<string, KnownSequence>();
        foreach (var line in await TrueState.ListAsync(connection, """
            SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename) || E'\t' || sign(increment_by) || E'\t' || coalesce(last_value, 0)
                || E'\t' || CASE WHEN a.attname IS NULL THEN 'SELECT ''0''' ELSE format('SELECT coalesce(max(%I), 0)::text FROM ONLY %s', a.attname, a.attrelid::regclass) END
            FROM pg_sequences s
            LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = format('%I.%I', schemaname, sequencename)::regclass
              AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
            LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
            WHERE schemaname <> 'crmbackup'
            """))
            if (line.Split('\t') is [var name, var step, var last, var used])
                sequences[name] = new KnownSequence(long.Parse(step) * long.Parse(last), long.Parse(step) * long.Parse((await TrueState.ListAsync(connection, used))[0]));
        return new RecordedMoment(lsn, time, tables, sequences, schema ? await SchemaAsync(server, connection) : "");
    }

    /// <summary>The rows alone.</summary>
    public RecordedMoment Untyped => this with { Tables = Tables.ToDictionary(table => table.Key, table => (IReadOnlyList<string>)[.. table.Value.Skip(1)]) };

    /// <summary>In words, at most a few lines; empty when the restored state equals this one. Sequences may be ahead, never behind; one that
    /// was restarted before it was seen again is only known by the rows that used it.</summary>
    /// <param name="next">The moment recorded after this one.</param>
    public IReadOnlyList<string> DifferencesOf(RecordedMoment restored, RecordedMoment? next)
    {
        var differences = new List<string>();
        foreach (var table in Tables.Keys.Union(restored.Tables.Keys).Order(StringComparer.Ordinal))
            if (!Tables.TryGetValue(table, out var expected))
                differences.Add($"{table} should not exist");
            else if (!restored.Tables.TryGetValue(table, out var actual))
                differences.Add($"{table} is missing");
            else if (!expected.SequenceEqual(actual))
                differences.Add($"{table}: recorded only: {Lines(Without(expected, actual))}; restored only: {Lines(Without(actual, expected))}");
        foreach (var (sequence, expected) in Sequences)
        {
            var restarted = next is null || !next.Sequences.TryGetValue(sequence, out var later) || later.Last < expected.Last;
            if (!restored.Sequences.TryGetValue(sequence, out var actual) || actual.Last < (restarted ? Math.Min(expected.Used, expected.Last) : expected.Last))
                differences.Add($"sequence {sequence} is at {actual?.Last}, recorded {expected}");
        }
        return differences;
    }

    static List<string> Without(IEnumerable<string> all, IEnumerable<string> others)
    {
        var counts = others.GroupBy(line => line).ToDictionary(group => group.Key, group => group.Count());
        return [.. all.Where(line => !(counts.TryGetValue(line, out var left) && left > 0 && (counts[line] = left - 1) >= 0))];
    }

    static string Lines(List<string> lines) => $"{lines.Count} ({string.Join(" | ", lines.Take(3))})";

    static string Short(string line) => line.Length <= LineMax ? line
        : line[..LineMax] + "… " + Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(line)))[..16];

    public static async Task<string> SchemaAsync(PostgresServer server, string connectionString)
    {
        await using var connection = new NpgsqlConnection(connectionString + ";Pooling=false");
        await connection.OpenAsync();
        return await SchemaAsync(server, connection);
    }

    static async Task<string> SchemaAsync(PostgresServer server, NpgsqlConnection connection)
    {
        var start = new ProcessStartInfo(Path.Combine(server.BinDirectory, "pg_dump"),
            ["--schema-only", "--exclude-schema=crmbackup", "-h", connection.Host!, "-p", $"{connection.Port}", "-U", "postgres", connection.Database!])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        var text = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"pg_dump: {await errors}");
        // The name that PostgreSQL 18 gives a NOT NULL by itself has a number where another table has inherited it before (the README says so).
        text = NumberedNotNull.Replace(text, " NOT NULL");
        // Statements as a set: pg_dump orders by OID here and there, and these differ.
        var statements = text.Split(";\n").Select(statement => string.Join('\n', statement.Split('\n')
                .Where(line => line.Length > 0 && !line.StartsWith("--", StringComparison.Ordinal) && !line.StartsWith('\\'))))
            .Where(statement => statement.Length > 0 && !statement.Contains("EVENT TRIGGER", StringComparison.Ordinal)
                && !statement.Contains("PUBLICATION crmbackup", StringComparison.Ordinal)
                // Ours: a table whose changes cannot be published has it on 18.
                && !statement.Contains("TRIGGER crmbackup_changes", StringComparison.Ordinal));
        return string.Join("\n;\n", statements.Order(StringComparer.Ordinal));
    }
}

/// <summary>Of one that counts downwards the values are negated: what is ahead is greater.</summary>
/// <param name="Used">The highest value in the column that owns it.</param>
sealed record KnownSequence(long Last, long Used);
