using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Time.Testing;

namespace CrmBackup.Cdc.Tests;

/// <summary>A vault in a folder of its own, deleted with the test.</summary>
sealed class TemporaryVault : IDisposable
{
    /// <param name="parent">Null: the temporary folder.</param>
    public TemporaryVault(string? parent = null)
    {
        Root = Path.Combine(parent ?? Path.GetTempPath(), $"vault-test-{Guid.NewGuid():N}");
        Medium = DirectoryMedium.CreateRoot(Root);
    }

    public string Root { get; }

    public DirectoryMedium Medium { get; }

    public FakeTimeProvider Clock { get; } = new(new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero));

    public static VaultIdentity Identity { get; } = new(
        Guid.Parse("00000000-0000-0000-0000-0000000000aa"), VaultFormat.Current, 7_000_000_000_000_000_001, "crm",
        new DateTimeOffset(2026, 11, 22, 9, 0, 0, TimeSpan.Zero));

    public Task<BackupVault> CreateAsync() => BackupVault.CreateAsync(Medium, Identity, CancellationToken.None);

    public Task<BackupVault> OpenAsync() => BackupVault.OpenAsync(Medium, CancellationToken.None);

    /// <summary>Signs what the writers commit.</summary>
    public SigningKey? Key { get; set; }

    public Task<VaultWriter> WriterAsync(BackupVault vault, string host = "here", int pid = 1) =>
        VaultWriter.OpenAsync(vault, Clock, host, pid, CancellationToken.None, key: Key);

    /// <summary>As on a machine that does not share this one's locks.</summary>
    public async Task<VaultWriter> WriterElsewhereAsync(string host = "there", int pid = 2)
    {
        File.Delete(Path.Combine(Root, "tmp", "writer.lock"));
        return await WriterAsync(await OpenAsync(), host, pid);
    }

    public Task<VaultWriter> WriterElsewhereWithWaitAsync()
    {
        File.Delete(Path.Combine(Root, "tmp", "writer.lock"));
        return WriterAfterTheWaitAsync("there", 2);
    }

    /// <summary>Opens a writer where a torn commit makes it wait for a while.</summary>
    public async Task<VaultWriter> WriterAfterTheWaitAsync(string host = "here", int pid = 1)
    {
        var opening = WriterAsync(await OpenAsync(), host, pid);
        for (var i = 0; i < 1000 && !opening.IsCompleted; i++)
        {
            Clock.Advance(TimeSpan.FromSeconds(10));
            await Task.Yield();
        }
        return await opening;
    }

    public string PathOf(string path) => Path.Combine(Root, path);

    public static CommitContent Covered(ulong lsn) =>
        new() { CoveredTo = new CoveredTo(new Position(1, new Lsn(lsn)), null) };

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
