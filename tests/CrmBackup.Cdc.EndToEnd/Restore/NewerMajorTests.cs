using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A vault of an older PostgreSQL becomes a database of a newer one: how a CRM moves to the next major, and what is left when the old
/// server is not to be had any more.</summary>
[Collection("postgres")]
public sealed class NewerMajorTests(PostgresFixture postgres, ITestOutputHelper output)
{
    [Fact]
    public async Task A_restore_into_a_newer_major_is_exact()
    {
        if (await PostgresServer.StartNewerAsync(await MajorAsync(postgres.Server)) is not { } started)
        {
            output.WriteLine($"not run: there is no PostgreSQL newer than {await MajorAsync(postgres.Server)} here (tests/run.sh --matrix has them all)");
            return;
        }
        await using var newer = started;
        output.WriteLine($"from {await postgres.Server.ExecuteAsync("SHOW server_version")} to {await newer.ExecuteAsync("SHOW server_version")}");
        var database = await CrmSample.CreateDatabaseAsync(postgres.Server, 0.02, "older");
        await postgres.Server.ExecuteAsync("""
            CREATE TYPE stage AS ENUM ('new', 'won'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0); CREATE TYPE pair AS (x integer, y text);
            CREATE COLLATION plain (provider = libc, locale = 'C'); CREATE SEQUENCE counted START 7;
            CREATE TABLE odd (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s stage DEFAULT 'new', p positive, r int4range, m int4multirange, c pair,
                a numeric[], at timestamptz, money money, bits bit(5), x xml, j jsonb, line text COLLATE plain, size integer GENERATED ALWAYS AS (length(line)) STORED,
                EXCLUDE USING gist (r WITH &&)) WITH (fillfactor = 70);
            INSERT INTO odd (s, p, r, m, c, a, at, money, bits, x, j, line) VALUES
                ('won', 1, '[1,5)', '{[1,2),[4,6)}', '(1,"a,b")', '[0:1]={1.10,NULL}', '0044-03-15 BC', '$1,234.50', '10101', '<a>1</a>', '{"b": 1, "a": [null]}', 'x'),
                (NULL, NULL, 'empty', '{}', NULL, '{}', 'infinity', NULL, NULL, NULL, 'null', E'tab\there');
            CREATE TABLE split (id integer, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
            CREATE TABLE split_low PARTITION OF split FOR VALUES FROM (MINVALUE) TO (100); CREATE TABLE split_high PARTITION OF split DEFAULT;
            INSERT INTO split SELECT i, 'v' || i FROM generate_series(1, 200) i;
            CREATE TABLE keyless (v text); INSERT INTO keyless SELECT 'k' || i % 3 FROM generate_series(1, 9) i;
            CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := NEW.v || '+'; RETURN NEW; END $$;
            CREATE TRIGGER touch BEFORE UPDATE ON split_low FOR EACH ROW EXECUTE FUNCTION touch();
            CREATE VIEW seen AS SELECT id, v FROM split WHERE id < 50; CREATE MATERIALIZED VIEW counts AS SELECT count(*) FROM split;
            CREATE STATISTICS paired (dependencies) ON id, v FROM split_low; CREATE RULE quiet AS ON INSERT TO seen DO INSTEAD NOTHING;
            ALTER TABLE keyless ENABLE ROW LEVEL SECURITY; CREATE POLICY all_rows ON keyless USING (true); COMMENT ON TABLE odd IS 'it''s odd'; GRANT SELECT ON odd TO PUBLIC
            """, database);
        await using var crm = await Protected.InitAsync(postgres.Server, null, database);
        crm.Start("--flush", "300ms");
        await crm.ProtectingAsync();
        await crm.ExecuteAsync("UPDATE split SET v = 'moved' WHERE id % 7 = 0; DELETE FROM keyless WHERE v = 'k1'; UPDATE keyless SET v = 'kk' WHERE v = 'k2'; "
            + "UPDATE odd SET at = '-infinity', line = NULL WHERE id = 1; SELECT nextval('counted')");
        var moment = await TrueState.RecordAsync(crm.Source);
        await crm.WaitAsync();
        await crm.StopAsync();
        var target = newer.ConnectionString("moved");
        var restored = await Crmbackup.RunAsync("restore", "--vault", crm.Vault, "--to", $"lsn:{moment.Lsn}", "--target", target, "--verify", "--output", "json");
        Assert.True(restored.ExitCode == 0, restored.Output + restored.Errors);
        var differences = (await TrueState.OfAsync(target)).DifferencesFrom(moment);
        Assert.True(differences is [], string.Join("; ", differences));
        await using var moved = NpgsqlDataSource.Create(target);
        Assert.Equal("rules 1, policies 1, triggers 1, statistics 1, counts 200, comment it's odd", await moved.CreateCommand("""
            SELECT format('rules %s, policies %s, triggers %s, statistics %s, counts %s, comment %s',
                (SELECT count(*) FROM pg_rewrite WHERE rulename = 'quiet'), (SELECT count(*) FROM pg_policy),
                (SELECT count(*) FROM pg_trigger WHERE tgname = 'touch' AND NOT tgisinternal AND tgrelid = 'split_low'::regclass), (SELECT count(*) FROM pg_statistic_ext WHERE stxname = 'paired'), (SELECT count FROM counts), obj_description('odd'::regclass))
            """).ExecuteScalarAsync());
        // It lives: protected anew, by a vault of its own.
        await newer.ExecuteAsync("UPDATE odd SET line = 'new' WHERE id = 2; INSERT INTO split VALUES (1000, 'new')", "moved");
    }

    static async Task<int> MajorAsync(PostgresServer server) => int.Parse((string)(await server.ExecuteAsync("SHOW server_version_num"))!) / 10_000;
}
