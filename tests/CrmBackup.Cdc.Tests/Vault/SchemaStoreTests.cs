using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class SchemaStoreTests : IDisposable
{
    static readonly Dictionary<string, byte[]> Schema = new()
    {
        ["pre-data.sql"] = "CREATE TABLE a ();"u8.ToArray(),
        ["post-data.sql"] = [],
        ["schema.dump"] = [0, 1, 2, 255],
    };

    readonly TemporaryVault _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task A_schema_comes_back_byte_for_byte_and_is_stored_once()
    {
        await _files.CreateAsync();
        var store = new SchemaStore(_files.Medium);

        var hash = await store.PutAsync(Schema, default);

        Assert.Equal(hash, await store.PutAsync(Schema.Reverse().ToDictionary(), default));
        Assert.Equal(Schema, await store.ReadAsync(hash, default));
        Assert.Equal(5, await _files.Medium.ListAsync($"schema/{hash}/").CountAsync());
    }

    [Theory]
    [InlineData("pre-data.sql")]
    [InlineData("post-data.sql")]
    [InlineData("manifest.json")]
    public async Task A_changed_or_missing_file_is_refused(string name)
    {
        await _files.CreateAsync();
        var store = new SchemaStore(_files.Medium);
        var hash = await store.PutAsync(Schema, default);
        var path = _files.PathOf(VaultPath.SchemaFile(hash, name));

        await File.AppendAllTextAsync(path, " ");
        Assert.Contains(name, (await Assert.ThrowsAsync<DifferenceException>(() => store.ReadAsync(hash, default))).Message);
        await Assert.ThrowsAsync<DifferenceException>(() => store.PutAsync(Schema, default));

        File.Delete(path);
        Assert.Contains("missing", (await Assert.ThrowsAsync<DifferenceException>(() => store.ReadAsync(hash, default))).Message);
    }

    [Theory]
    [InlineData("pre-data.sql")]
    [InlineData("manifest.json")]
    [InlineData("bundle")]
    public async Task A_file_that_a_crash_tore_where_it_was_created_does_not_stand_in_its_schemas_way(string name)
    {
        await _files.CreateAsync();
        var store = new SchemaStore(DirectoryMedium.WithoutLinks(_files.Root));
        var torn = await store.PutAsync(Schema, default);
        await File.WriteAllTextAsync(_files.PathOf(VaultPath.SchemaFile(torn, name)), "t");

        var hash = await store.PutAsync(Schema, default);

        Assert.NotEqual(torn, hash);
        Assert.Equal(hash, await store.PutAsync(Schema, default));
        var files = await store.ReadAsync(hash, default);
        Assert.All(Schema, file => Assert.Equal(file.Value, files[file.Key]));
    }
}
