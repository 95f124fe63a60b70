using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What our event triggers did not tell is noticed all the same, named, and made good (rule 15).</summary>
[Collection("postgres")]
public sealed class SilentChangesTests(PostgresFixture postgres, ITestOutputHelper output)
{
    const string Silence = "ALTER EVENT TRIGGER crmbackup_ddl_end DISABLE; ALTER EVENT TRIGGER crmbackup_rewrite DISABLE; ALTER EVENT TRIGGER crmbackup_sql_drop DISABLE;";
    const string Speech = "ALTER EVENT TRIGGER crmbackup_ddl_end ENABLE ALWAYS; ALTER EVENT TRIGGER crmbackup_rewrite ENABLE ALWAYS; ALTER EVENT TRIGGER crmbackup_sql_drop ENABLE ALWAYS;";
    const string Tables = """
        CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t SELECT i, i FROM generate_series(1, 1000) i;
        CREATE TABLE other (id int PRIMARY KEY, v text); INSERT INTO other SELECT i, 'x' FROM generate_series(1, 100) i;
        CREATE TABLE leaves (id int PRIMARY KEY)
        """;

    static CaptureOptions NotMending(CaptureOptions options) => options with { MendSetup = false };

    [Fact]
    public async Task What_changes_no_value_is_no_gap_and_what_is_told_is_none_either()
    {
        await using var crm = await Guarded.StartAsync(postgres.Server, Tables, output);
        await crm.PersonAsync("ALTER TABLE t ADD late text DEFAULT 'same'; CREATE INDEX i ON t (n); CREATE MATERIALIZED VIEW m AS SELECT id FROM t; CREATE UNIQUE INDEX ON m (id)");
        foreach (var harmless in (string[])["VACUUM FULL t", "CLUSTER t USING i", "TRUNCATE other", "REINDEX TABLE t", "REINDEX TABLE CONCURRENTLY t", "ANALYZE",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY m", "CREATE INDEX CONCURRENTLY j ON t (late)",
            "CREATE TEMP TABLE x (a serial PRIMARY KEY, b text DEFAULT 'b'); ALTER TABLE x ADD c int; DROP TABLE x",
            "BEGIN; SAVEPOINT s; ALTER TABLE t ADD nested int; RELEASE s; SAVEPOINT r; DROP TABLE leaves; ROLLBACK TO r; COMMIT",
            "GRANT SELECT (id) ON t TO pg_monitor; COMMENT ON TABLE t IS 'told'; ALTER TABLE t ALTER n TYPE bigint"])
        {
            await crm.PersonAsync(harmless);
            await Task.Delay(150);
        }
        await crm.EqualsSourceAsync();
        Assert.Equal([], crm.Vault.State.Gaps.Select(gap => $"{gap.Scope} {gap.Relation} {gap.Reason}"));
    }

    [Fact]
    public async Task Values_schema_and_tables_changed_under_silent_triggers_are_gaps_that_heal()
    {
        await using var crm = await Guarded.StartAsync(postgres.Server, Tables, output, NotMending);
        // The same type, other values, and no event: only the catalog's rows show it.
        await crm.PersonAsync($"{Silence} ALTER TABLE t ALTER n TYPE int USING n + 1; {Speech}");
        await crm.UntilAsync(() => crm.HasGap(GapScope.Relation, "public.t: it was changed without a message of ours"), "a gap of the table");
        await crm.EqualsSourceAsync();
        Assert.True(crm.HasGap(GapScope.Schema, "our event triggers were changed"));
        Assert.DoesNotContain(crm.Vault.State.Gaps, gap => gap.Scope == GapScope.Database);
        Assert.Single(crm.Gaps(GapScope.Relation).Select(gap => gap.Relation).Distinct());

        // They stay silent: said, and still nothing is missed for long.
        await crm.PersonAsync($"{Silence} DROP TABLE leaves; ALTER TABLE other ADD late int DEFAULT 7; CREATE TABLE fresh (id int PRIMARY KEY); INSERT INTO fresh VALUES (1)");
        await crm.UntilAsync(() => crm.Status.Problems.Any(problem => problem.Contains("crmbackup_ddl_end is not enabled always")), "the problem to be said");
        Assert.False(crm.Status.Protecting);
        await crm.UntilAsync(() => crm.HasGap(GapScope.Relation, "public.other"), "a gap of the other table");
        await crm.PersonAsync("CREATE VIEW v AS SELECT 1");
        await crm.UntilAsync(() => crm.HasGap(GapScope.Schema, "without a message of ours"), "a gap of the schema");
        await crm.PersonAsync(Speech);
        await crm.EqualsSourceAsync();
        Assert.Equal(["fresh", "other", "t"], crm.Vault.State.RelationsAt(new Lsn(ulong.MaxValue)).Values.Select(shape => shape.Name).Order());
        Assert.DoesNotContain(crm.Vault.State.Gaps, gap => gap is { Scope: GapScope.Schema, Until: null });
    }

    [Fact]
    public async Task What_was_changed_silently_while_nobody_captured_is_found_at_the_start()
    {
        await using var crm = await Guarded.StartAsync(postgres.Server, Tables, output, NotMending);
        await crm.DurableAsync();
        await crm.StopAsync();
        await crm.PersonAsync($"{Silence} ALTER TABLE t ALTER n TYPE int USING n + 1; ALTER TABLE other DROP v; DROP TABLE leaves; {Speech}");
        await crm.StartAsync();
        await crm.UntilAsync(() => crm.HasGap(GapScope.Relation, "public.t") && crm.HasGap(GapScope.Relation, "public.other") && crm.HasGap(GapScope.Relation, "public.leaves"), "gaps");
        await crm.EqualsSourceAsync();
        Assert.True(crm.HasGap(GapScope.Schema, ""));
    }

    [Fact]
    public async Task Our_schema_dropped_does_not_stop_the_crm_and_is_made_anew()
    {
        await using var crm = await Guarded.StartAsync(postgres.Server, Tables, output);
        await crm.PersonAsync("""
            DROP SCHEMA crmbackup CASCADE; ALTER TABLE t ADD late int DEFAULT 7; UPDATE t SET n = 0; CREATE TABLE fresh (id int PRIMARY KEY); DROP TABLE leaves
            """);
        await crm.UntilAsync(() => crm.HasGap(GapScope.Database, "crmbackup"), "a gap");
        await crm.EqualsSourceAsync();
        await crm.PersonAsync("CREATE TABLE keyless (a int); INSERT INTO keyless VALUES (1); UPDATE keyless SET a = 2");
        await crm.EqualsSourceAsync();
    }

    [Fact]
    public async Task Where_nothing_may_be_mended_it_is_said_until_init_has_run_and_then_goes_on()
    {
        await using var crm = await Guarded.StartAsync(postgres.Server, Tables, output, NotMending);
        await crm.PersonAsync("DROP SCHEMA crmbackup CASCADE; UPDATE t SET n = 0; ALTER TABLE t ADD late int DEFAULT 7; CREATE VIEW v AS SELECT 1; DROP VIEW v");
        await crm.UntilAsync(() => crm.Status.Problems.Any(problem => problem.Contains("schema crmbackup was dropped")), "the problem to be said");
        await crm.DurableAsync();
        await crm.Source.InitAsync(new SetupOptions { Vault = crm.Vault.Identity.Id });
        await crm.EqualsSourceAsync();
    }

    [Theory]
    [InlineData("DROP PUBLICATION crmbackup; UPDATE t SET n = -1", "publication", null)]
    [InlineData("ALTER PUBLICATION crmbackup DROP TABLE t; UPDATE t SET n = -1", "changed by somebody else", "chosen")]
    [InlineData("SELECT pg_terminate_backend(active_pid), pg_sleep(0.1) FROM pg_replication_slots WHERE database = current_database(); SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database(); UPDATE t SET n = -1",
        "does not exist any more", null)]
    public async Task What_the_stream_hangs_on_dropped_or_changed_is_a_gap_and_made_anew(string sabotage, string said, string? chosen)
    {
        await using var crm = await Guarded.StartAsync(postgres.Server, Tables, output,
            setup: chosen is null ? null : new SetupOptions { Identity = IdentityChoice.Full, Tables = ["t", "other"] });
        await crm.PersonAsync(sabotage);
        await crm.UntilAsync(() => crm.HasGap(GapScope.Database, said), $"a gap that says '{said}'");
        await crm.EqualsSourceAsync();
        await crm.PersonAsync("UPDATE t SET n = -2");
        await crm.EqualsSourceAsync();
        Assert.Empty((await crm.Source.PlanAsync()).Steps);
    }
}
