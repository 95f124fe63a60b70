using System.Text;
using DuckDB.NET.Data;
using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Sql;

/// <summary>DuckDB, given nothing but what <c>crmbackup sql</c> prints, against what PostgreSQL said at that moment. Each table's rows go from
/// DuckDB, as text and with the exceptions in their places, into a table of the same columns, so that PostgreSQL itself compares.</summary>
[Collection("servers")]
public sealed class RecordedMomentsTests(PostgresFixture postgres, ITestOutputHelper output)
{
    const string Begin = """"
        CREATE TYPE mood AS ENUM ('new', 'won', 'lost');
        CREATE TABLE deals (id bigint PRIMARY KEY, date date, stage mood, amount numeric(12,2), tags text[], extra jsonb, at timestamptz, doc text);
        ALTER TABLE deals ALTER COLUMN doc SET STORAGE EXTERNAL;
        CREATE TABLE lines (deal bigint, product text, count integer, price numeric, PRIMARY KEY (deal, product));
        CREATE TABLE visits (at timestamp, who text, seconds double precision, ip inet, raw bytea);
        CREATE TABLE "Odd.Name" ("say ""hi""" integer PRIMARY KEY, "Größe" real, flag boolean, span interval, day time);
        INSERT INTO deals SELECT i, '2026-01-01'::date + i, (ARRAY['new','won','lost']::mood[])[1 + i % 3], i * 1.25, ARRAY['a', NULL, 'c"d'],
            jsonb_build_object('n', i, 'é', NULL), '2026-01-01 00:00:00.5+00'::timestamptz + i * interval '1 hour', repeat(md5(i::text), 200)
          FROM generate_series(1, 300) i;
        INSERT INTO lines SELECT i, 'p' || p, i * p, CASE WHEN p = 2 THEN 'NaN' ELSE (i / 7.0)::numeric END FROM generate_series(1, 300) i, generate_series(1, 3) p;
        INSERT INTO visits SELECT '2026-02-01'::timestamp + i % 20 * interval '1 day', 'w' || i % 3, CASE WHEN i % 5 = 0 THEN '-0' ELSE i / 3.0 END, '10.0.0.1', '\x00ff'
          FROM generate_series(1, 200) i;
        INSERT INTO visits VALUES ('infinity', NULL, 'NaN', NULL, NULL), ('infinity', NULL, 'NaN', NULL, NULL);
        INSERT INTO "Odd.Name" VALUES (1, 'infinity', true, '1 mon 2 days 03:00:00.5', '24:00:00'), (2, 1e-30, NULL, '-1 year', '00:00:00.000001');
        """";

    /// <summary>What the CRM does before each moment; the fail point is set for the settling that follows.</summary>
    static readonly (string Does, bool KillSettle)[] Days =
    [
        ("""
            UPDATE deals SET amount = amount + 1 WHERE id % 2 = 0; UPDATE deals SET doc = 'short', date = 'infinity' WHERE id = 7; DELETE FROM deals WHERE id % 10 = 3;
            UPDATE deals SET id = id + 1000 WHERE id BETWEEN 20 AND 30; UPDATE lines SET product = 'moved' WHERE product = 'p1' AND deal <= 50;
            UPDATE visits SET seconds = 1 WHERE who = 'w1'; DELETE FROM visits WHERE at = 'infinity' AND ctid = (SELECT max(ctid) FROM visits WHERE at = 'infinity')
            """, false),
        ("""
            ALTER TYPE mood RENAME VALUE 'won' TO 'it''s won'; ALTER TABLE deals RENAME COLUMN amount TO value; ALTER TABLE deals ADD COLUMN "date " date DEFAULT '2026-05-05'; UPDATE deals SET value = value * 2 WHERE id < 100;
            INSERT INTO deals (id, stage) VALUES (5000, 'it''s won'); ALTER TABLE visits ADD COLUMN note text; UPDATE visits SET note = 'n' WHERE who = 'w2'
            """, true),
        ("""
            ALTER TABLE lines ALTER COLUMN count TYPE bigint; UPDATE lines SET count = 5000000000 WHERE deal = 1; ALTER TABLE deals ALTER COLUMN extra TYPE text;
            SET timezone = 'UTC'; ALTER TABLE visits ALTER COLUMN at TYPE timestamptz; UPDATE visits SET note = 'zoned' WHERE who = 'w0';
            UPDATE deals SET extra = 'no json' WHERE id = 8; UPDATE deals SET tags = '[0:1]={x,y}' WHERE id = 9
            """, false),
        // Unlogged and logged again: its coverage ends and begins with a base of its own.
        ("ALTER TABLE lines SET UNLOGGED; UPDATE lines SET price = 3 WHERE deal = 2; ALTER TABLE lines SET LOGGED", true),
        ("TRUNCATE visits; INSERT INTO visits VALUES ('2026-09-09', 'after', 0.1, '::1', ''); UPDATE deals SET date = '2000-02-29' WHERE id = 7; ALTER TABLE deals DROP COLUMN stage", false),
    ];

    [Fact]
    public async Task DuckDB_given_the_printed_views_returns_every_table_row_for_row_at_each_recorded_moment()
    {
        var database = await postgres.Server.CreateDatabaseAsync("duck");
        await postgres.Server.ExecuteAsync(Begin, database);
        await using var crm = await Protected.InitAsync(postgres.Server, null, database);
        var moments = new List<TrueState>();
        var orphans = 0;
        foreach (var (does, killed) in Days)
        {
            crm.Start("--flush", "300ms");
            await crm.ProtectingAsync();
            await crm.ExecuteAsync(does);
            await crm.ProtectingAsync();
            await crm.WaitAsync();
            moments.Add(await TrueState.RecordAsync(crm.Source));
            await crm.ExecuteAsync("SELECT crmbackup.mark('after')");
            await crm.WaitAsync();
            await crm.StopAsync();
            if (killed)
                orphans += await KilledSettleAsync(crm);
            (await Crmbackup.RunAsync("settle", "--now", "--vault", crm.Vault)).MustBe(0);
        }
        Assert.True(orphans > 0, "no segment of a crash lies in the vault");
        var printed = await Crmbackup.RunAsync("sql", "--vault", crm.Vault);
        printed.MustBe(0);
        using var duck = new DuckDBConnection("DataSource=:memory:");
        duck.Open();
        Run(duck, printed.Output);
        foreach (var (number, moment) in moments.Index())
        {
            await ComparedAsync(crm, duck, moment, table => $"{Beside(table, "_at")}('{moment.Lsn}')");
            await ComparedAsync(crm, duck, moment, table => $"{Beside(table, "_as_of")}('{moment.Time:yyyy-MM-dd HH:mm:ss.ffffffzzz}')");
            if (number == moments.Count - 1)
                await ComparedAsync(crm, duck, moment, table => table);
        }
        // The text that lies in the vault says the same.
        using var beside = new DuckDBConnection("DataSource=:memory:");
        beside.Open();
        Run(beside, await File.ReadAllTextAsync(Directory.GetFiles(Path.Combine(crm.Vault, "sql")).Order(StringComparer.Ordinal).Last()));
        await ComparedAsync(crm, beside, moments[^1], table => table);
        var beyond = Assert.ThrowsAny<Exception>(() => Texts(duck, "SELECT * FROM public.deals_at('FFFF/0')"));
        Assert.Contains("beyond what is settled", beyond.Message);
        output.WriteLine($"{moments.Count} moments, {orphans} orphans");
    }

    /// <summary>A settle that kills itself before its commit; gives the number of files that it left.</summary>
    static async Task<int> KilledSettleAsync(Protected crm)
    {
        int Files() => Directory.GetFiles(Path.Combine(crm.Vault, "tables"), "*.parquet", SearchOption.AllDirectories).Length;
        var before = Files();
        await using var killed = Crmbackup.Start(
            new Dictionary<string, string> { ["CRMBACKUP_FAILPOINT"] = "mid-settle" }, "settle", "--now", "--vault", crm.Vault);
        var ended = await killed.EndAsync(TimeSpan.FromSeconds(30));
        Assert.True(ended.ExitCode == 137, $"{ended.ExitCode}: {ended.Errors}");
        return Files() - before;
    }

    /// <summary>The state's schema is restored, then its rows are taken from DuckDB.</summary>
    async Task ComparedAsync(Protected crm, DuckDBConnection duck, TrueState moment, Func<string, string> view)
    {
        var restored = await crm.RestoreAsync($"lsn:{moment.Lsn}");
        Assert.Empty((await TrueState.OfAsync(restored)).DifferencesFrom(moment));
        await using (var connection = new NpgsqlConnection(restored + ";Pooling=false"))
        {
            await connection.OpenAsync();
            foreach (var table in moment.Tables.Keys)
                await LoadAsync(connection, table, duck, view(table));
        }
        Assert.Empty((await TrueState.OfAsync(restored)).DifferencesFrom(moment));
        await crm.DropRestoredAsync();
    }

    static async Task LoadAsync(NpgsqlConnection connection, string table, DuckDBConnection duck, string view)
    {
        var columns = Described(duck, view);
        var picked = columns.Where(column => column.Name != "_exceptions").Select(column => (column.Type == "BLOB"
            ? $"'\\x' || lower(hex({Quoted(column.Name)}))" : $"{Quoted(column.Name)}::VARCHAR")
            is var text && columns.Any(other => other.Name == "_exceptions")
                ? $"coalesce(_exceptions ->> '{column.Name.Replace("'", "''", StringComparison.Ordinal)}', {text})" : text);
        var rows = Texts(duck, $"SELECT {string.Join(", ", picked)} FROM {view}");
        await using (var truncate = new NpgsqlCommand($"TRUNCATE {table}", connection))
            await truncate.ExecuteNonQueryAsync();
        await using var copy = await connection.BeginTextImportAsync($"COPY {table} FROM STDIN");
        foreach (var row in rows)
            await copy.WriteAsync(string.Join('\t', row.Select(Escaped)) + "\n");
    }

    static string Escaped(string? value) => value is null ? "\\N" : new StringBuilder(value)
        .Replace("\\", "\\\\").Replace("\t", "\\t").Replace("\n", "\\n").Replace("\r", "\\r").ToString();

    /// <summary>The function beside a table's view.</summary>
    static string Beside(string table, string suffix) => table.EndsWith('"') ? $"{table[..^1]}{suffix}\"" : table + suffix;

    static string Quoted(string name) => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    static List<(string Name, string Type)> Described(DuckDBConnection duck, string view) =>
        [.. Texts(duck, $"DESCRIBE FROM {view}").Select(column => (column[0]!, column[1]!))];

    static List<string?[]> Texts(DuckDBConnection duck, string sql)
    {
        using var command = duck.CreateCommand();
        command.CommandText = sql;
        using var reader = command.ExecuteReader();
        var rows = new List<string?[]>();
        while (reader.Read())
            rows.Add([.. Enumerable.Range(0, reader.FieldCount).Select(i => reader.IsDBNull(i) ? null : Convert.ToString(reader.GetValue(i), System.Globalization.CultureInfo.InvariantCulture))]);
        return rows;
    }

    static void Run(DuckDBConnection duck, string script)
    {
        using var command = duck.CreateCommand();
        command.CommandText = script;
        command.ExecuteNonQuery();
    }
}
