using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd.Exactness;

/// <summary>A value that PostgreSQL can store and not send (rule 9): its transaction is a gap, its table stays uncovered and says why, everything
/// else goes on; without the value all is well again.</summary>
[Collection("postgres")]
public sealed class UnsendableTests(PostgresFixture postgres, ITestOutputHelper output)
{
    [Fact]
    [Trait("Run", "Full")]
    public async Task A_value_that_the_server_cannot_send_leaves_its_table_uncovered_and_all_others_protected()
    {
        var database = await postgres.Server.CreateDatabaseAsync("unsendable");
        await postgres.Server.ExecuteAsync("""
            CREATE TABLE files (id integer PRIMARY KEY, raw bytea); INSERT INTO files VALUES (1, '\x01');
            CREATE TABLE people (id integer PRIMARY KEY, name text); INSERT INTO people SELECT i, 'p' FROM generate_series(1, 100) i
            """, database);
        await using var crm = await Protected.InitAsync(postgres.Server, null, database);
        crm.Start();
        await crm.ProtectingAsync();
        await crm.ExecuteLongAsync("""
            INSERT INTO files SELECT 2, string_agg(decode(repeat('ab', 1000000), 'hex'), '') FROM generate_series(1, 560);
            INSERT INTO people VALUES (1001, 'after')
            """);
        Crmbackup.Result status = null!;
        await Eventually.TrueAsync(async () =>
        {
            status = await Crmbackup.RunAsync("status", "--source", crm.Source, "--vault", crm.Vault);
            return status.Output.Contains("files cannot be read: a row's text is larger than the 1 GB", StringComparison.Ordinal)
                && status.Output.Contains("1 of 2 covered", StringComparison.Ordinal);
        }, TimeSpan.FromSeconds(120), "the table to be named");
        output.WriteLine(status.Output);
        Assert.Equal(3, status.ExitCode);
        await crm.ExecuteAsync("UPDATE people SET name = 'still told' WHERE id = 1");
        await crm.WaitAsync();
        var refused = await Crmbackup.RunAsync("restore", "--vault", crm.Vault, "--to", "latest", "--target", postgres.Server.ConnectionString(database + "_no"));
        Assert.Contains("public.files", refused.MustBe(3).Errors);
        var alone = await crm.RestoreAsync("latest", "--table", "public.people");
        await using (var restored = new Npgsql.NpgsqlConnection(alone))
        {
            await restored.OpenAsync();
            await using var count = new Npgsql.NpgsqlCommand("SELECT count(*) || min(name) || max(name) FROM people", restored);
            Assert.Equal("101afterstill told", await count.ExecuteScalarAsync());
        }

        await crm.ExecuteAsync("DELETE FROM files WHERE id = 2");
        await crm.ProtectingAsync(420);
        await crm.WaitAsync();
        var recorded = await TrueState.OfAsync(crm.Source);
        await crm.StopAsync();
        Assert.Empty((await TrueState.OfAsync(await crm.RestoreAsync("latest"))).DifferencesFrom(recorded));
    }
}
