using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>What this machine remembers of a vault, and what it takes from one that it does not know.</summary>
public sealed class Heads : IAsyncLifetime
{
    readonly string _keys = Directory.CreateTempSubdirectory("crmbackup-keys-").FullName;
    VaultWithHistory _vault = null!;

    public async Task InitializeAsync() => _vault = await VaultWithHistory.CreateAsync();

    public Task DisposeAsync()
    {
        _vault.Dispose();
        Directory.Delete(_keys, recursive: true);
        return Task.CompletedTask;
    }

    [Fact]
    public async Task A_cut_history_is_told_by_verify_and_status_until_it_is_accepted()
    {
        Assert.Equal(0, (await RunAsync("verify")).Code);
        var newest = Path.Combine(_vault.Root, VaultPath.Commit(4));
        if (!File.Exists(newest))
            newest = Directory.GetFiles(Path.Combine(_vault.Root, "commits"), "*.json", SearchOption.AllDirectories).Order().Last();
        File.Delete(newest);

        var cut = await RunAsync("verify");
        Assert.Equal(4, cut.Code);
        Assert.Contains("cut off", cut.Data, StringComparison.Ordinal);
        var status = await RunAsync("status");
        Assert.Equal(3, status.Code);
        Assert.Contains("is not there any more", status.Data, StringComparison.Ordinal);
        Assert.Equal(4, (await RunAsync("verify")).Code);

        Assert.Equal(0, (await RunAsync("verify --accept-head")).Code);
        Assert.Equal(0, (await RunAsync("verify")).Code);
    }

    [Fact]
    public async Task A_head_that_was_written_down_is_looked_for()
    {
        var head = (await RunAsync("verify")).Data.Split('\n').Single(line => line.StartsWith("head ", StringComparison.Ordinal))[5..];
        Assert.Equal(0, (await RunAsync($"verify --head {head}")).Code);
        Assert.Equal(4, (await RunAsync($"verify --head 99:{head.Split(':')[1]}")).Code);
        Assert.Equal(4, (await RunAsync($"verify --head {head[..^1]}{(head[^1] == '0' ? '1' : '0')}")).Code);
        Assert.Equal(2, (await RunAsync("verify --head 7")).Code);
    }

    [Fact]
    public async Task A_vault_of_foreign_origin_is_not_restored_unless_it_is_trusted()
    {
        const string words = "restore --to lsn:0/400 --before --target Host=127.0.0.1;Port=1;Database=x;Timeout=1";
        var refused = await RunAsync(words);
        Assert.Equal(3, refused.Code);
        Assert.Contains("not written by this machine", refused.Log[0], StringComparison.Ordinal);
        // Looking at it makes it no better known.
        await RunAsync("verify");
        Assert.Equal(3, (await RunAsync(words)).Code);
        // Now it goes on, and finds no server.
        Assert.Equal(1, (await RunAsync(words + " --trust-vault")).Code);
    }

    [Fact]
    public async Task With_a_public_key_nothing_unsigned_is_restored_before_it_was_adopted()
    {
        var key = Path.Combine(_keys, "sign.key");
        Assert.Equal(0, (await RunAsync($"keys new {key}", vault: false)).Code);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(key));
        Assert.Equal(1, (await RunAsync($"keys new {key}", vault: false)).Code);
        var shown = await RunAsync($"keys show {key}.pub", vault: false);
        Assert.Equal(65, shown.Data.Length);

        var refused = await RunAsync($"restore --to lsn:0/400 --before --dry-run --target Host=nowhere;Database=x --public-key {key}.pub");
        Assert.Equal(3, refused.Code);
        Assert.Contains("not signed", refused.Log[0], StringComparison.Ordinal);
        Assert.Equal(4, (await RunAsync($"verify --public-key {key}.pub")).Code);

        var adopted = await RunAsync($"keys adopt --yes --private-key {key} --output json");
        Assert.Equal(0, adopted.Code);
        Assert.Empty(JsonSchemaFile.Load("output.schema.json").Problems("keys", adopted.Data));
        Assert.Equal(0, (await RunAsync($"restore --to lsn:0/400 --before --dry-run --target Host=nowhere;Database=x --public-key {key}.pub")).Code);
        Assert.Equal(0, (await RunAsync($"verify --public-key {key}.pub")).Code);
        Assert.Equal(0, (await RunAsync($"settle --now --private-key {key}")).Code);
        Assert.DoesNotContain(new[] { shown.Data, adopted.Data }, data => data.Contains("PRIVATE", StringComparison.Ordinal));
    }

    Task<(int Code, string Data, string[] Log)> RunAsync(string words, bool vault = true) =>
        Cli.RunAsync(words + (vault ? $" --vault {_vault.Root}" : ""));
}
