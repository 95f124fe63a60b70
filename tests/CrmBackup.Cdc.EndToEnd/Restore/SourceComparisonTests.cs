using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

[Collection("postgres")]
public sealed class SourceComparisonTests(PostgresFixture postgres)
{
    const string Tables = """
        CREATE TABLE keyed (id int PRIMARY KEY, v text); CREATE TABLE plain (v text, n int); CREATE TABLE empty ();
        INSERT INTO keyed SELECT i, repeat(md5(i::text), 100) FROM generate_series(1, 500) i; INSERT INTO plain SELECT 'x', i % 5 FROM generate_series(1, 50) i
        """;

    [Fact]
    public async Task Equal_content_is_proven_table_by_table_while_the_source_is_at_work()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync(Tables);
        await using var vault = await HandMadeVault.CreateAsync(source, postgres.Server);
        await source.CrmAsync("UPDATE keyed SET v = 'new' WHERE id < 10; DELETE FROM plain WHERE ctid = '(0,1)'; INSERT INTO empty DEFAULT VALUES");

        var report = await CompareAsync(source, vault, beside: "UPDATE keyed SET v = v || '.', id = -id WHERE id = (SELECT max(id) FROM keyed)");

        Assert.Equal(["public.empty", "public.keyed", "public.plain"], report.Tables.Select(table => table.Table).Order());
        Assert.All(report.Tables, table => Assert.True(table.Equal, $"{table.Table}: {table.Note}"));
        Assert.Equal(ExitCode.Done, report.ExitCode);
    }

    [Fact]
    public async Task What_differs_is_named_by_key()
    {
        await using var source = await SourceDatabase.CreateAsync(postgres.Server);
        await source.CrmAsync(Tables);
        await using var vault = await HandMadeVault.CreateAsync(source, postgres.Server);
        await source.CrmAsync("UPDATE keyed SET v = 'lost' WHERE id = 7; DELETE FROM keyed WHERE id = 8; INSERT INTO keyed VALUES (1000, 'lost'); INSERT INTO plain VALUES ('lost', 9)");
        await vault.LoseStreamAsync();

        var report = await CompareAsync(source, vault, beside: null);

        Assert.Equal([new KeyDifference("(7)", "different"), new KeyDifference("(8)", "missing in the source"), new KeyDifference("(1000)", "missing in the vault")],
            report.Tables.Single(table => table.Table == "public.keyed").Differences);
        Assert.Equal([new KeyDifference("(lost, 9)", "missing in the vault")], report.Tables.Single(table => table.Table == "public.plain").Differences);
        Assert.True(report.Tables.Single(table => table.Table == "public.empty").Equal);
        Assert.Equal(ExitCode.Difference, report.ExitCode);
    }

    /// <param name="beside">What the CRM does over and over while the archive follows.</param>
    static async Task<CompareReport> CompareAsync(SourceDatabase source, HandMadeVault vault, string? beside)
    {
        var reader = await BackupVault.OpenAsync(new DirectoryMedium(vault.Vault.Medium.Location), default);
        var comparing = new SourceComparison(reader, TimeProvider.System, NullLogger.Instance)
            .RunAsync(new CompareOptions { Source = source.ConnectionString }, null, default);
        while (!comparing.IsCompleted)
        {
            if (beside is not null)
                await source.CrmAsync(beside);
            await vault.TakeStreamAsync();
            await Task.WhenAny(comparing, Task.Delay(50));
        }
        return await comparing;
    }
}
