using System.Text.Json;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class FindingTheDisaster : IAsyncLifetime
{
    VaultWithHistory _vault = null!;

    public async Task InitializeAsync() => _vault = await VaultWithHistory.CreateAsync();

    public Task DisposeAsync()
    {
        _vault.Dispose();
        return Task.CompletedTask;
    }

    [Fact]
    public async Task The_window_around_a_time_lists_sweeping_and_big_transactions_first()
    {
        var found = await FindAsync(new SearchOptions { Around = VaultWithHistory.At(9, 30), Within = TimeSpan.FromMinutes(30) });
        Assert.Equal([702UL, 700, 701], found.Transactions.Where(one => !one.IsSweeping).Select(one => one.Xid));
        Assert.Equal([703UL, 704], found.Transactions.Take(2).Select(one => one.Xid).Order().ToList());
        var deleted = found.Transactions.Single(one => one.Xid == 702);
        Assert.Equal(new TableChanges("public.contacts", 0, 0, 500, false, false), Assert.Single(deleted.Tables));
        Assert.Equal((new Lsn(0x400), VaultWithHistory.At(9, 30)), (deleted.Lsn, deleted.CommitTime));
        var dropped = found.Transactions.Single(one => one.Xid == 704);
        Assert.Equal(["DROP TABLE"], dropped.Commands);
        Assert.Equal(["evening"], dropped.Marks);
        Assert.True(found.Transactions.Single(one => one.Xid == 703).Tables.Single().Truncated);
    }

    [Fact]
    public async Task An_lsn_stands_for_the_time_of_its_transaction()
    {
        var found = await FindAsync(new SearchOptions { AroundLsn = new Lsn(0x3FF), Within = TimeSpan.FromMinutes(1) });
        Assert.Equal([701UL], found.Transactions.Select(one => one.Xid));
    }

    [Fact]
    public async Task Small_ones_are_left_out_and_counted_by_table_when_asked()
    {
        var hour = new SearchOptions { Around = VaultWithHistory.At(9, 30), Within = TimeSpan.FromHours(1) };
        Assert.Equal([702UL, 703, 704], (await FindAsync(hour with { MinRows = 100 })).Transactions.Select(one => one.Xid).Order().ToList());
        Assert.Equal([701UL, 702], (await FindAsync(hour with { Table = "contacts" })).Transactions.Select(one => one.Xid).Order().ToList());
        var one = await FindAsync(hour with { Limit = 1 });
        Assert.Equal((1, 4L), (one.Transactions.Count, one.Omitted));
        await Assert.ThrowsAsync<UsageException>(() => FindAsync(hour with { Table = "public.nobody" }));
        var early = await FindAsync(new SearchOptions { AroundLsn = new Lsn(0x10), Within = TimeSpan.FromMinutes(1) });
        Assert.Equal([700UL], early.Transactions.Select(one => one.Xid));
    }

    [Fact]
    public async Task The_command_prints_what_to_type_next_and_the_same_as_json()
    {
        var text = await Cli.RunAsync($"points --vault {_vault.Root} --around 0/400 --table public.contacts");
        Assert.Equal(0, text.Code);
        Assert.Contains("public.contacts -500", text.Data, StringComparison.Ordinal);
        Assert.Contains("restore --to lsn:0/400 --before", text.Data, StringComparison.Ordinal);
        var json = await Cli.RunAsync($"points --vault {_vault.Root} --around 0/400 --table public.contacts --output json");
        var first = JsonDocument.Parse(json.Data).RootElement.GetProperty("transactions")[0];
        Assert.Equal("0/400", first.GetProperty("lsn").GetString());
        Assert.Equal(500, first.GetProperty("tables")[0].GetProperty("deleted").GetInt64());
    }

    [Fact]
    public async Task Points_tell_coverage_and_marks()
    {
        var json = await Cli.RunAsync($"points --vault {_vault.Root} --output json");
        Assert.Equal(0, json.Code);
        var root = JsonDocument.Parse(json.Data).RootElement;
        var range = Assert.Single(root.GetProperty("coverage").EnumerateArray());
        Assert.Equal("0/100", range.GetProperty("from").GetProperty("lsn").GetString());
        Assert.Equal("0/700", range.GetProperty("to").GetProperty("lsn").GetString());
        Assert.Equal("2026-11-22T09:40:00.000000Z", range.GetProperty("to").GetProperty("time").GetString());
        var mark = Assert.Single(root.GetProperty("marks").EnumerateArray());
        Assert.Equal("evening", mark.GetProperty("name").GetString());
        Assert.True(mark.GetProperty("restorable").GetBoolean());
        var text = await Cli.RunAsync($"points --vault {_vault.Root}");
        Assert.Contains("mark:evening", text.Data, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_settled_vault_with_the_views_in_it_verifies_and_tells_the_same_story()
    {
        var before = await FindAsync(new SearchOptions { Around = VaultWithHistory.At(9, 30), Within = TimeSpan.FromHours(1) });
        var settled = await Cli.RunAsync($"settle --now --vault {_vault.Root}");
        Assert.True(settled.Code == 0, string.Join('\n', settled.Log));
        Assert.NotEmpty(Directory.GetFiles(Path.Combine(_vault.Root, "sql")));
        var verified = await Cli.RunAsync($"verify --vault {_vault.Root}");
        Assert.True(verified.Code == 0, verified.Data);
        var after = await FindAsync(new SearchOptions { Around = VaultWithHistory.At(9, 30), Within = TimeSpan.FromHours(1) });
        Assert.Equal(JsonSerializer.Serialize(before), JsonSerializer.Serialize(after));
    }

    [Fact]
    public async Task A_vault_that_nobody_writes_any_more_does_not_protect()
    {
        var json = await Cli.RunAsync($"status --vault {_vault.Root} --output json");
        Assert.Equal(3, json.Code);
        var root = JsonDocument.Parse(json.Data).RootElement;
        Assert.False(root.GetProperty("protecting").GetBoolean());
        Assert.Contains("nothing was written for", root.GetProperty("problems")[0].GetString(), StringComparison.Ordinal);
        Assert.Equal("0/700", root.GetProperty("durable").GetProperty("lsn").GetString());
    }

    async Task<SearchResult> FindAsync(SearchOptions options) =>
        new TransactionSearch(await BackupVault.OpenAsync(new DirectoryMedium(_vault.Root), default)).Find(options, default);
}
