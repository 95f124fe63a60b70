using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("postgres")]
public sealed class CrmSampleTests(PostgresFixture postgres)
{
    const string Fingerprint = """
        SELECT md5(string_agg(r, E'\n' ORDER BY r)) FROM (
            SELECT 'a' || x::text AS r FROM accounts x UNION ALL SELECT 'c' || x::text FROM contacts x
            UNION ALL SELECT 'n' || x::text FROM notes x UNION ALL SELECT 'l' || (x.id, x.score, x.raw_form)::text FROM leads x) rows
        """;

    [Fact]
    public async Task The_sample_has_the_same_rows_at_every_run()
    {
        var server = postgres.Server;
        var first = await server.CreateDatabaseAsync();
        var second = await server.CreateDatabaseAsync();
        await CrmSample.FillAsync(server.ConnectionString(first), scale: 0.01);
        await CrmSample.FillAsync(server.ConnectionString(second), scale: 0.01);
        Assert.Equal(await server.ExecuteAsync(Fingerprint, first), await server.ExecuteAsync(Fingerprint, second));
        await server.DropDatabaseAsync(first);
        await server.DropDatabaseAsync(second);
    }

    [Fact]
    public async Task Four_clients_work_on_it_without_an_error()
    {
        var server = postgres.Server;
        var database = await CrmSample.CreateDatabaseAsync(server, scale: 0.01);
        await using var workload = CrmWorkload.Start(server, database, TimeSpan.FromSeconds(2));
        Assert.InRange(await workload.FinishAsync(), 100, long.MaxValue);
        Assert.True((long)(await server.ExecuteAsync("SELECT count(*) FROM stage_history WHERE changed_by <> 'import'", database))! > 0);
        await server.DropDatabaseAsync(database);
    }
}
