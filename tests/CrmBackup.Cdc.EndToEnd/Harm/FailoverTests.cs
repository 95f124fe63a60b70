using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>The source's standby takes over, without our slot and without the last commits (rule 10).</summary>
public sealed class FailoverTests(ITestOutputHelper output)
{
    [FactWhere(Needs.LocalServers)]
    public async Task After_a_failover_the_surviving_branch_goes_on_and_what_it_lost_is_reached_by_its_timeline_alone()
    {
        await using var primary = await PostgresServer.StartAsync();
        await using var crm = await Guarded.StartAsync(primary, "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT i, 'base' FROM generate_series(1, 500) i; "
            + "CREATE TABLE same (id int PRIMARY KEY); INSERT INTO same SELECT generate_series(1, 5000)", output, repairBytesMin: 0);
        await using var standby = await primary.StandbyAsync();
        try
        {
            await crm.PersonAsync("UPDATE t SET v = 'both'");
            await crm.DurableAsync();
            var both = await crm.Source.AskAsync<string>("SELECT pg_current_wal_lsn()::text");
            await Eventually.TrueAsync(async () => (bool)(await standby.ExecuteAsync($"SELECT pg_last_wal_replay_lsn() >= '{both}'"))!,
                TimeSpan.FromSeconds(30), "the standby to follow");
            await standby.ExecuteAsync("ALTER SYSTEM SET primary_conninfo = ''");
            await standby.ExecuteAsync("SELECT pg_reload_conf()");
            await Eventually.TrueAsync(async () => (long)(await standby.ExecuteAsync("SELECT count(*) FROM pg_stat_wal_receiver"))! == 0,
                TimeSpan.FromSeconds(30), "the standby to be cut off");
            var lost = await crm.Source.AskAsync<string>("WITH done AS (UPDATE public.t SET v = 'lost' RETURNING 1) SELECT pg_current_xact_id()::text FROM done LIMIT 1");
            await crm.DurableAsync();
            var beyond = crm.Vault.State.CoveredTo!.Position;
            await crm.StopAsync();
            await primary.StopAsync();
            await standby.ExecuteAsync("SELECT pg_promote()");

            await crm.StartAsync(standby.ConnectionString(crm.Source.Name));
            await crm.UntilAsync(() => crm.HasGap(GapScope.Database, "left timeline 1 at"), "the gap");
            await crm.PersonAsync("UPDATE t SET v = 'after' WHERE id > 100");
            await crm.EqualsSourceAsync();

            // Nothing is copied that both branches have.
            Assert.Equal((0, 0), (crm.Status.Bases.Repaired.Single(table => table.Table == "public.same") is var same ? same.Differing : -1, same.RowsCopied));
            Assert.Equal(2u, crm.Vault.State.CoveredTo!.Position.Timeline);
            Assert.Equal(2, Branches.Surviving(crm.Vault.State).Count);
            Assert.Equal(both, (await PlanAsync(crm, new RestoreTarget.AtLsn(Lsn.Parse(both)))).ToString());
            Assert.True(await PlanAsync(crm, new RestoreTarget.OfTimeline(1)) >= beyond.Lsn);
            await Assert.ThrowsAsync<RefusedException>(() => PlanAsync(crm, new RestoreTarget.AtXid(ulong.Parse(lost))));
        }
        finally
        {
            await crm.StopAsync();
            await primary.StartAgainAsync();
        }
    }

    static async Task<Lsn> PlanAsync(Guarded crm, RestoreTarget target)
    {
        var report = await new Restorer(crm.Vault, TimeProvider.System, NullLogger.Instance).RunAsync(
            new RestoreOptions { To = target, Target = new NpgsqlConnectionStringBuilder(crm.Source.ConnectionString) { Database = "nowhere" }.ConnectionString, DryRun = true }, null, default);
        return report.Lsn;
    }
}
