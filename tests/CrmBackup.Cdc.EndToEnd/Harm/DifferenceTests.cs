using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>After a gap, what the vault knew of a table is compared with the source, and only ranges of keys that differ are copied.</summary>
[Collection("postgres")]
public sealed class DifferenceTests(PostgresFixture postgres, ITestOutputHelper output)
{
    const string Tables = """"
        CREATE TYPE stage AS ENUM ('new', 'won', 'lost, or so');
        CREATE TABLE accounts (id int PRIMARY KEY, name text, rating int, doc text);
        ALTER TABLE accounts ALTER doc SET STORAGE EXTERNAL;
        INSERT INTO accounts SELECT i, 'account ' || i, i % 7, CASE WHEN i % 50 = 0 THEN repeat(md5(i::text), 90) END FROM generate_series(1, 100000) i;
        CREATE TABLE contacts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n int, name text);
        INSERT INTO contacts (n, name) SELECT i, 'contact ' || i FROM generate_series(1, 40000) i;
        CREATE TABLE lines (account_id bigint, no smallint, amount numeric(12,2), note text, PRIMARY KEY (account_id, no));
        INSERT INTO lines SELECT i / 4, i % 4, i / 100.0, 'line' FROM generate_series(-30000, 30000) i;
        CREATE TABLE odd (id bigint PRIMARY KEY, t text, c char(7), b boolean, j jsonb, x bytea, f float8, ts timestamptz, d date, a text[], i inet, s stage,
            m money, v interval, r int4range, "a column, ""quoted""" text, g int GENERATED ALWAYS AS (1) STORED);
        INSERT INTO odd SELECT i - 2500,
            CASE i % 9 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN 'a "quoted" \ text' WHEN 3 THEN '(,)' WHEN 4 THEN E'tab\tline\nend\r' WHEN 5 THEN ' ' WHEN 6 THEN 'Ünïcödé 漢字 🙂'
                WHEN 7 THEN E'\u00a0\u0085' ELSE 'plain' END,
            'c' || i % 10, i % 3 = 0, jsonb_build_object('k', i, 'q', '"'), decode(md5(i::text), 'hex'), CASE WHEN i % 4 = 0 THEN 'NaN' ELSE i / 3.0 END,
            CASE WHEN i % 5 = 0 THEN 'infinity' ELSE now() END, CASE WHEN i % 6 = 0 THEN '-infinity' ELSE DATE '0044-03-15 BC' END,
            ARRAY['a', NULL, '"', ''], '10.0.0.0/8', 'lost, or so', i, make_interval(secs => i), int4range(i, i + 5), '\N'
            FROM generate_series(1, 5000) i;
        CREATE TABLE keyless (n int);
        INSERT INTO keyless SELECT generate_series(1, 3000);
        CREATE TABLE named (name text PRIMARY KEY);
        INSERT INTO named SELECT 'name ' || generate_series(1, 3000);
        CREATE TABLE gone (id int PRIMARY KEY);
        INSERT INTO gone SELECT generate_series(1, 3000);
        """";

    const string Changes = """
        UPDATE accounts SET rating = rating + 1 WHERE id BETWEEN 5000 AND 5100;
        UPDATE accounts SET name = name || '!' WHERE id = 100000;
        UPDATE accounts SET doc = NULL WHERE id = 50000;
        DELETE FROM accounts WHERE id BETWEEN 70000 AND 70600;
        UPDATE accounts SET id = id + 1000000 WHERE id BETWEEN 20000 AND 20009;
        UPDATE accounts SET id = -id WHERE id = 1;
        INSERT INTO accounts SELECT i, 'new', 0, repeat('new', 1000) FROM generate_series(200001, 200700) i;
        UPDATE contacts SET name = 'other' WHERE n = 17;
        DELETE FROM contacts WHERE n = 18;
        INSERT INTO contacts (n, name) VALUES (-1, 'new');
        DELETE FROM lines WHERE account_id = 0;
        UPDATE lines SET amount = -amount WHERE account_id = -77;
        INSERT INTO lines SELECT 7500, i, 1, '' FROM generate_series(5, 50) i;
        UPDATE odd SET t = CASE WHEN t IS NULL THEN '' END WHERE id IN (0, 9, 1000);
        DELETE FROM keyless WHERE n % 2 = 0;
        UPDATE named SET name = 'other' WHERE name = 'name 7';
        DROP TABLE gone;
        CREATE TABLE made (id int PRIMARY KEY);
        INSERT INTO made SELECT generate_series(1, 3000);
        """;

    [Fact]
    public async Task After_the_slot_was_lost_what_the_vault_has_already_is_not_copied_again()
    {
        await using var crm = await Guarded.StartAsync(postgres.Server, Tables, output, repairBytesMin: 0);
        await crm.PersonAsync("UPDATE accounts SET rating = 99 WHERE id % 1000 = 0; UPDATE odd SET b = NOT b WHERE id < 0");
        await crm.DurableAsync();
        await crm.StopAsync();
        await crm.PersonAsync($"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database(); {Changes}");

        await crm.StartAsync();
        using var ending = new CancellationTokenSource();
        var load = LoadAsync(crm, ending.Token);
        await crm.UntilAsync(() => crm.HasGap(GapScope.Database, "the slot was made anew"), "the gap");
        await crm.UntilAsync(() => crm.Status.Bases.Repaired.Count == 4, "the repairs");
        await crm.ProtectedAsync();
        await ending.CancelAsync();
        await load;
        await crm.EqualsSourceAsync();

        var repaired = crm.Status.Bases.Repaired;
        output.WriteLine(string.Join('\n', repaired));
        Assert.Equal(["public.accounts", "public.contacts", "public.lines", "public.odd"], repaired.Select(table => table.Table).Order(StringComparer.Ordinal));
        Assert.All(repaired, table => Assert.InRange(table.Differing, 1, table.Ranges - 1));
        Assert.InRange(repaired.Sum(table => table.RowsCopied), 1, repaired.Sum(table => table.Rows) / 5);
        // What comes after rests on what was repaired.
        await crm.PersonAsync("UPDATE accounts SET rating = -1 WHERE id % 500 = 0; DELETE FROM contacts WHERE n % 100 = 0; UPDATE lines SET no = no + 100 WHERE account_id = 5");
        await crm.EqualsSourceAsync();
    }

    /// <summary>The CRM goes on while its tables are compared; documents that updates do not carry move from key to key.</summary>
    static async Task LoadAsync(Guarded crm, CancellationToken stop)
    {
        for (var i = 0; i < 15 && !stop.IsCancellationRequested; i++)
            await crm.PersonAsync($"""
                UPDATE accounts SET rating = {i} WHERE id % 10000 = {i % 100};
                UPDATE accounts SET id = id + 3000000 WHERE id = {30000 + (50 * i)};
                INSERT INTO contacts (n, name) VALUES ({100000 + i}, 'during');
                DELETE FROM lines WHERE account_id = {100 + i};
                """);
    }
}
