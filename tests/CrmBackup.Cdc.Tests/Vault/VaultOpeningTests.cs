using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;
using static CrmBackup.Cdc.Tests.TemporaryVault;

namespace CrmBackup.Cdc.Tests;

public sealed class VaultOpeningTests : IDisposable
{
    readonly TemporaryVault _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task An_empty_folder_is_not_a_vault_and_does_not_become_one()
    {
        var refused = await Assert.ThrowsAsync<RefusedException>(_files.OpenAsync);

        Assert.Contains("the folder is empty", refused.Message);
        Assert.Contains("mounted", refused.Hint);
    }

    [Fact]
    public async Task A_folder_that_is_not_there_is_said_to_be_missing()
    {
        var refused = await Assert.ThrowsAsync<RefusedException>(
            () => BackupVault.OpenAsync(new DirectoryMedium("/nonexistent/vault"), default));

        Assert.Contains("no such folder", refused.Message);
    }

    [Fact]
    public async Task Another_vault_is_refused()
    {
        await _files.CreateAsync();

        await Assert.ThrowsAsync<RefusedException>(() => BackupVault.OpenAsync(_files.Medium, default, expected: Guid.NewGuid()));
        await BackupVault.OpenAsync(_files.Medium, default, expected: Identity.Id);
    }

    [Fact]
    public async Task A_vault_is_made_once_and_only_where_nothing_else_lies()
    {
        await _files.CreateAsync();
        Assert.Contains("already", (await Assert.ThrowsAsync<RefusedException>(_files.CreateAsync)).Message);

        using var other = new TemporaryVault();
        await File.WriteAllTextAsync(other.PathOf("letter.txt"), "dear");
        Assert.Contains("letter.txt", (await Assert.ThrowsAsync<RefusedException>(other.CreateAsync)).Message);
    }

    [Fact]
    public async Task A_newer_major_is_refused_and_unknown_fields_are_not()
    {
        await _files.CreateAsync();
        var path = _files.PathOf(VaultPath.Identity);
        var text = await File.ReadAllTextAsync(path);
        await File.WriteAllTextAsync(path, text.Replace("{\"id\"", "{\"colour\":\"red\",\"id\"", StringComparison.Ordinal));
        Assert.Equal(Identity, (await _files.OpenAsync()).Identity);

        await File.WriteAllTextAsync(path, text.Replace("\"major\":1", "\"major\":2", StringComparison.Ordinal));
        await Assert.ThrowsAsync<RefusedException>(_files.OpenAsync);
    }

    [Fact]
    public async Task A_feature_that_we_do_not_know_is_refused()
    {
        using (var writer = await _files.WriterAsync(await _files.CreateAsync()))
            await Assert.ThrowsAsync<RefusedException>(
                () => writer.CommitAsync(new CommitContent { Requires = ["encryption"] }, default));
        var first = CommitCodec.Parse(1, await File.ReadAllBytesAsync(_files.PathOf(VaultPath.Commit(1))));
        var newer = CommitCodec.Encode(first.Head with { Number = 2, Prev = first.Hash }, new CommitContent { Requires = ["encryption"] });
        await _files.Medium.TryCreateAsync(VaultPath.Commit(2), newer, default);

        Assert.Contains("encryption", (await Assert.ThrowsAsync<RefusedException>(_files.OpenAsync)).Message);
    }

    [Fact]
    public async Task A_writer_does_not_write_into_a_newer_minor()
    {
        using (await _files.WriterAsync(await _files.CreateAsync()))
        {
        }
        var first = CommitCodec.Parse(1, await File.ReadAllBytesAsync(_files.PathOf(VaultPath.Commit(1))));
        var newer = CommitCodec.Encode(
            first.Head with { Number = 2, Prev = first.Hash, Format = new VaultFormat(1, 9) }, new CommitContent());
        await _files.Medium.TryCreateAsync(VaultPath.Commit(2), newer, default);

        var vault = await _files.OpenAsync();

        await Assert.ThrowsAsync<RefusedException>(() => _files.WriterAsync(vault));
    }

    [Fact]
    public async Task Nothing_is_written_where_the_disk_has_gone()
    {
        using var writer = await _files.WriterAsync(await _files.CreateAsync());
        Directory.Move(_files.Root, _files.Root + "-disk");
        try
        {
            Directory.CreateDirectory(_files.Root);

            var gone = await Assert.ThrowsAsync<MediumException>(() => writer.CommitAsync(Covered(1), default));

            Assert.Equal(MediumFailure.Absent, gone.Failure);
            Assert.Empty(Directory.EnumerateFileSystemEntries(_files.Root));
        }
        finally
        {
            Directory.Delete(_files.Root);
            Directory.Move(_files.Root + "-disk", _files.Root);
        }
    }
}
