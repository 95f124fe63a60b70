using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>What the verbs answer with <c>--output json</c> is what <c>schemas/output.schema.json</c> promises.</summary>
public sealed class OutputShapes : IAsyncLifetime
{
    VaultWithHistory _vault = null!;

    public async Task InitializeAsync() => _vault = await VaultWithHistory.CreateAsync();

    public Task DisposeAsync()
    {
        _vault.Dispose();
        return Task.CompletedTask;
    }

    [Theory]
    [InlineData("status", "status", 3)]
    [InlineData("points", "points", 0)]
    [InlineData("points --around 0/400", "transactions", 0)]
    [InlineData("settle --now", "settle", 0)]
    [InlineData("sql", "sql", 0)]
    [InlineData("verify", "verify", 0)]
    [InlineData("prune --dry-run", "prune", 0)]
    [InlineData("restore --to lsn:0/400 --before --dry-run --target Host=nowhere;Database=x", "restore", 0)]
    public async Task Answers_have_their_documented_shape(string words, string shape, int exitCode)
    {
        var (code, data, log) = await Cli.RunAsync($"{words} --vault {_vault.Root} --output json");
        Assert.True(code == exitCode, string.Join('\n', log));
        Assert.Equal(1, data.Count(letter => letter == '\n'));
        Assert.Empty(JsonSchemaFile.Load("output.schema.json").Problems(shape, data));
    }

    [Fact]
    public async Task Damage_is_told_in_the_documented_shape_and_ends_with_4()
    {
        var segment = Directory.GetFiles(Path.Combine(_vault.Root, "log"), "*.parquet", SearchOption.AllDirectories).Order().Last();
        var bytes = await File.ReadAllBytesAsync(segment);
        bytes[bytes.Length / 2] ^= 1;
        File.SetUnixFileMode(segment, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        await File.WriteAllBytesAsync(segment, bytes);
        var (code, data, _) = await Cli.RunAsync($"verify --vault {_vault.Root} --output json");
        Assert.Equal(4, code);
        Assert.Empty(JsonSchemaFile.Load("output.schema.json").Problems("verify", data));
        Assert.Contains("\"remaining\":[{", data, StringComparison.Ordinal);
        var text = await Cli.RunAsync($"verify --vault {_vault.Root}");
        Assert.Contains("DAMAGED", text.Data, StringComparison.Ordinal);
        var search = await Cli.RunAsync($"points --vault {_vault.Root} --around 0/600");
        Assert.Equal(4, search.Code);
        Assert.StartsWith("crmbackup: ", search.Log[0], StringComparison.Ordinal);
    }
}
