using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Npgsql;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("postgres")]
public sealed class SetupTests(PostgresFixture postgres)
{
    const string Tables = """
        CREATE TABLE public.account (id bigint PRIMARY KEY, name text);
        CREATE TABLE public.log (at timestamptz, line text);
        CREATE TABLE public.tag (name text NOT NULL UNIQUE, colour text);
        CREATE TABLE public.quiet (x int); ALTER TABLE public.quiet REPLICA IDENTITY NOTHING;
        CREATE UNLOGGED TABLE public.cache (x int);
        """;

    [Fact]
    public async Task Init_twice_is_init_once_and_remove_leaves_nothing()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync(Tables);
        var before = await CatalogAsync(source);
        await source.InitAsync();
        Assert.Empty((await source.PlanAsync()).Steps);
        Assert.Equal("account d, cache d, log f, quiet f, tag i", await IdentitiesAsync(source));
        await source.CrmAsync("UPDATE log SET line = 'x'; UPDATE quiet SET x = 1; CREATE TABLE late (a int); UPDATE late SET a = 1");

        await new SourceSetup(TimeProvider.System).RemoveAsync(source.Ours, new SetupOptions(), before: null, default);
        Assert.Equal("account d, cache d, late d, log d, quiet n, tag d", await IdentitiesAsync(source));
        await source.CrmAsync("DROP TABLE late");
        Assert.Equal(before, await CatalogAsync(source));
    }

    [Fact]
    public async Task What_a_dry_run_prints_is_all_that_a_dba_has_to_run()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync(Tables);
        var options = new SetupOptions { Role = $"backup_{source.Name}", Vault = Guid.NewGuid() };
        var script = (await source.PlanAsync(options)).ToString();
        Assert.False(await source.AskAsync<bool>("SELECT to_regnamespace('crmbackup') IS NOT NULL"));
        // As psql does: statement by statement, under settings that are not ours.
        foreach (var statement in SqlStatements.Split(script))
            await source.CrmAsync(statement);
        Assert.Empty((await source.PlanAsync(options)).Steps);
        await new SourceSetup(TimeProvider.System).RemoveAsync(source.Ours, new SetupOptions(), before: null, default);
        Assert.Equal(0L, await source.AskAsync<long>($"SELECT count(*) FROM pg_roles WHERE rolname = 'backup_{source.Name}'"));
    }

    static Task<string> IdentitiesAsync(SourceDatabase source) => source.AskAsync<string>(
        "SELECT string_agg(relname || ' ' || relreplident::text, ', ' ORDER BY relname) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace");

    static Task<string> CatalogAsync(SourceDatabase source) => source.AskAsync<string>("""
        SELECT concat_ws(' | ',
            (SELECT string_agg(nspname, ',' ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'),
            (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_event_trigger),
            (SELECT count(*) FROM pg_publication), (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()))
        """);
}
