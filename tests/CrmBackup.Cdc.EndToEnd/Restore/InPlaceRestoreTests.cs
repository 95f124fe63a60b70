using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("postgres")]
public sealed class InPlaceRestoreTests(PostgresFixture postgres)
{
    static readonly InPlaceOptions _yes = new() { Confirmed = true };

    [Fact]
    public async Task The_restored_database_takes_the_place_of_the_living_one_prepared_for_backup_and_can_be_taken_back()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'before' FROM generate_series(1, 100) i");
        await using var vault = await HandMadeVault.CreateAsync(source, postgres.Server);
        var at = await vault.NowAsync();
        var before = await TrueState.OfAsync(source.ConnectionString);
        var role = $"crm_{source.Name}";
        await source.CrmAsync($$"""
            UPDATE t SET v = 'after';
            CREATE ROLE {{role}}; GRANT CREATE ON DATABASE {{source.Name}} TO {{role}} WITH GRANT OPTION;
            ALTER DATABASE {{source.Name}} SET search_path TO "$user", public, "a, b"; ALTER DATABASE {{source.Name}} SET work_mem = '7MB';
            ALTER ROLE {{role}} IN DATABASE {{source.Name}} SET statement_timeout = '5s';
            COMMENT ON DATABASE {{source.Name}} IS 'the CRM''s {0}'; ALTER DATABASE {{source.Name}} CONNECTION LIMIT 90
            """);
        await vault.TakeStreamAsync();
        var (traits, slot) = (await TraitsAsync(source.Name), await SlotAsync(source.Name));
        var restore = new InPlaceRestore(vault.Vault, TimeProvider.System, NullLogger.Instance);
        var options = new RestoreOptions { To = new RestoreTarget.AtLsn(at), Target = source.ConnectionString };

        var unsaid = await Assert.ThrowsAsync<RefusedException>(() => restore.RunAsync(options, new InPlaceOptions { Confirmed = false }, null, default));
        Assert.Contains("--yes", unsaid.Hint);
        var report = await restore.RunAsync(options, _yes, null, default);

        Assert.Equal(ExitCode.Done, report.ExitCode);
        Assert.InRange(report.DowntimeSeconds!.Value, 0.001, 5);
        Assert.Empty((await TrueState.OfAsync(source.ConnectionString)).DifferencesFrom(before));
        Assert.Equal(traits, await TraitsAsync(source.Name));
        Assert.Equal("after", await postgres.Server.ExecuteAsync("SELECT v FROM t LIMIT 1", report.OldDatabase!));
        Assert.NotEqual(slot, await SlotAsync(source.Name));
        Assert.Equal(0L, await postgres.Server.ExecuteAsync($"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{slot}'"));
        await using (var prepared = await SourceConnection.OpenAsync(source.ConnectionString, default))
        {
            Assert.Empty((await SourceSetup.PlanAsync(prepared, new SetupOptions(), default)).Steps);
            Assert.True(await SourceMessage.BarrierAsync(prepared, "test", default) > at);
        }
        // The CRM's old session was ended, a new one gets in.
        await Assert.ThrowsAnyAsync<NpgsqlException>(() => source.CrmAsync("SELECT 1"));

        await postgres.Server.ExecuteAsync("UPDATE t SET v = 'later'", source.Name);
        var undone = await restore.UndoAsync(source.ConnectionString, _yes, default);
        Assert.Equal("after", await postgres.Server.ExecuteAsync("SELECT v FROM t LIMIT 1", source.Name));
        Assert.Equal("later", await postgres.Server.ExecuteAsync("SELECT v FROM t LIMIT 1", undone.OldDatabase!));

        Assert.Equal([undone.OldDatabase!], await InPlaceRestore.DropOldAsync(source.ConnectionString, confirmed: true, default));
        Assert.Equal(1L, await postgres.Server.ExecuteAsync($"SELECT count(*) FROM pg_database WHERE starts_with(datname, '{source.Name}')"));
        await postgres.Server.ExecuteAsync($"DROP OWNED BY {role}; DROP ROLE {role}", source.Name);
    }

    [Fact]
    public async Task A_prepared_transaction_stops_it_before_anybody_is_thrown_out()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync("CREATE TABLE t (id int PRIMARY KEY)");
        await using var vault = await HandMadeVault.CreateAsync(source, postgres.Server);
        await source.CrmAsync("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'half done'");
        try
        {
            var refused = await Assert.ThrowsAsync<RefusedException>(() => new InPlaceRestore(vault.Vault, TimeProvider.System, NullLogger.Instance)
                .RunAsync(new RestoreOptions { To = new RestoreTarget.Latest(), Target = source.ConnectionString }, _yes, null, default));

            Assert.Contains("'half done'", refused.Message);
            await source.CrmAsync("SELECT 1");
            Assert.Equal(1L, await postgres.Server.ExecuteAsync($"SELECT count(*) FROM pg_database WHERE starts_with(datname, '{source.Name}')"));
        }
        finally
        {
            await source.CrmAsync("ROLLBACK PREPARED 'half done'");
        }
    }

    async Task<string> TraitsAsync(string database) => (string)(await postgres.Server.ExecuteAsync($"""
        SELECT concat_ws('|', pg_get_userbyid(datdba), (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(datacl) a), datconnlimit, datcollate, encoding, shobj_description(oid, 'pg_database'),
          (SELECT string_agg(setrole::regrole || setconfig::text, ' ' ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid))
        FROM pg_database d WHERE datname = '{database}'
        """))!;

    async Task<string?> SlotAsync(string database) =>
        (string?)await postgres.Server.ExecuteAsync("SELECT value FROM crmbackup.settings WHERE key = 'slot'", database);
}
