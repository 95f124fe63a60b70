using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;
using static CrmBackup.Cdc.Tests.TemporaryVault;

namespace CrmBackup.Cdc.Tests;

public sealed class WriterOpeningTests : IDisposable
{
    readonly TemporaryVault _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task What_a_killed_writer_left_is_made_durable_before_anything_is_built_on_it()
    {
        using (var killed = await _files.WriterAsync(await _files.CreateAsync()))
            await killed.CommitAsync(Covered(1), default);
        var disk = new Watched();
        using var next = await _files.WriterAsync(await BackupVault.OpenAsync(new DirectoryMedium(_files.Root, disk), default));
        var kept = disk.Calls.IndexOf($"keep {_files.PathOf(VaultPath.Commit(2))}");
        var built = disk.Calls.IndexOf($"link {_files.PathOf(VaultPath.Commit(3))}");
        Assert.InRange(kept, 0, built - 1);
    }

    [Fact]
    public async Task A_writer_that_another_one_overtakes_while_it_opens_is_refused_and_told_by_whom()
    {
        using var old = await _files.WriterAsync(await _files.CreateAsync());
        File.Delete(_files.PathOf(VaultWriter.LockPath));
        var disk = new Watched { BeforeLink = () => old.CommitAsync(Covered(1), default).GetAwaiter().GetResult() };
        var opened = await BackupVault.OpenAsync(new DirectoryMedium(_files.Root, disk), default);
        var refused = await Assert.ThrowsAsync<RefusedException>(() => _files.WriterAsync(opened, "there", 2));
        Assert.Contains("another writer is at work", refused.Message, StringComparison.Ordinal);
        Assert.Contains("process 1 on here, epoch 1", refused.Message, StringComparison.Ordinal);
        Assert.Equal(3, (await old.CommitAsync(Covered(2), default)).Head);
    }

    sealed class Watched : DiskCalls
    {
        public List<string> Calls { get; } = [];

        public Action? BeforeLink { get; set; }

        public override void SyncFound(string path)
        {
            Calls.Add($"keep {path}");
            base.SyncFound(path);
        }

        public override int Link(string existing, string name)
        {
            Calls.Add($"link {name}");
            var before = BeforeLink;
            BeforeLink = null;
            before?.Invoke();
            return base.Link(existing, name);
        }
    }
}
