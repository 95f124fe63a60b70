using Xunit;

namespace CrmBackup.Cdc.Tests.Parity;

public sealed class RepairVerb
{
    [Fact]
    public async Task Settle_writes_parity_verify_says_what_it_could_mend_and_repair_mends_it()
    {
        using var vault = await VaultWithHistory.CreateAsync();
        Assert.Equal(0, (await Cli.RunAsync($"settle --now --parity 2 --vault {vault.Root}")).Code);
        var segment = Directory.GetFiles(Path.Combine(vault.Root, "tables"), "*.parquet", SearchOption.AllDirectories)[0];
        var bytes = await File.ReadAllBytesAsync(segment);
        await File.WriteAllBytesAsync(segment, bytes[..^1]);
        File.Delete(Path.Combine(vault.Root, "commits", "00000000", "000000000002.json"));

        var (code, data, _) = await Cli.RunAsync($"verify --vault {vault.Root} --output json");
        Assert.Equal(4, code);
        Assert.Empty(JsonSchemaFile.Load("output.schema.json").Problems("verify", data));
        Assert.Contains("\"mendableFrom\":\"parity\"", data, StringComparison.Ordinal);
        var text = await Cli.RunAsync($"verify --vault {vault.Root}");
        Assert.Contains("can be mended ('verify --repair'), from a pack", text.Data, StringComparison.Ordinal);

        (code, data, _) = await Cli.RunAsync($"verify --repair --vault {vault.Root} --output json");
        Assert.Equal(0, code);
        Assert.Empty(JsonSchemaFile.Load("output.schema.json").Problems("verify", data));
        Assert.Equal(bytes, await File.ReadAllBytesAsync(segment));
        text = await Cli.RunAsync($"verify --repair --vault {vault.Root}");
        Assert.Equal(0, text.Code);
        Assert.Contains("every segment can be mended", text.Data, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("verify --repair --source Host=x;Database=y")]
    [InlineData("settle --now --parity 17")]
    [InlineData("settle --now --parity some")]
    public async Task What_cannot_be_is_wrong_usage(string words)
    {
        using var vault = await VaultWithHistory.CreateAsync();
        var (code, _, log) = await Cli.RunAsync($"{words} --vault {vault.Root}");
        Assert.True(code == 2, string.Join('\n', log));
    }

    [Fact]
    public async Task What_nothing_can_mend_is_said_with_the_reason_and_ends_with_4()
    {
        using var vault = await VaultWithHistory.CreateAsync();
        File.Delete(Directory.GetFiles(Path.Combine(vault.Root, "log"), "*.parquet", SearchOption.AllDirectories)[0]);
        var (code, data, _) = await Cli.RunAsync($"verify --repair --vault {vault.Root}");
        Assert.Equal(4, code);
        Assert.Contains("cannot be mended: no parity covers it", data, StringComparison.Ordinal);
        Assert.Contains("cannot be read again from the source", data, StringComparison.Ordinal);
    }
}
