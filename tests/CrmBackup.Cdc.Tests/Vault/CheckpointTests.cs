using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;
using static CrmBackup.Cdc.Tests.TemporaryVault;

namespace CrmBackup.Cdc.Tests;

public sealed class CheckpointTests : IDisposable
{
    /// <summary>A setting so long that the commit weighs more than the smallest checkpoint is worth.</summary>
    static readonly CommitContent Heavy = new()
    {
        Settings = new Dictionary<string, string> { ["filler"] = new('x', 300_000) },
        Marks = [new Mark("here", new Position(1, new Lsn(77)), false, new SourceTime(5), 741)],
        Gaps = [new Gap(GapScope.Database, 0, new Position(1, new Lsn(5)), null, "slot lost", DateTimeOffset.UnixEpoch)],
        SettledTo = new Lsn(9),
        CoveredTo = new CoveredTo(new Position(1, new Lsn(80)), new SourceTime(6)),
    };

    readonly TemporaryVault _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task A_vault_opened_by_its_checkpoint_is_the_one_that_its_commits_tell()
    {
        using var writer = await _files.WriterAsync(await _files.CreateAsync());
        await writer.CommitAsync(Heavy, default);
        await writer.CommitAsync(Covered(90), default);
        var whole = writer.State;
        Assert.Equal([VaultPath.Checkpoint(2)], await CheckpointsAsync());
        // Proof that the commits before it are not read: they are gone.
        File.Delete(_files.PathOf(VaultPath.Commit(1)));
        File.Delete(_files.PathOf(VaultPath.Commit(2)));

        var vault = await _files.OpenAsync();

        Assert.Equal((whole.Head, whole.HeadHash, whole.Epoch, whole.HeadTime),
            (vault.State.Head, vault.State.HeadHash, vault.State.Epoch, vault.State.HeadTime));
        Assert.Equal(whole.Marks, vault.State.Marks);
        Assert.Equal(whole.Gaps, vault.State.Gaps);
        Assert.Equal(whole.Settings, vault.State.Settings);
        Assert.Equal((whole.CoveredTo, whole.SettledTo), (vault.State.CoveredTo, vault.State.SettledTo));
    }

    [Fact]
    public async Task A_checkpoint_that_no_commit_names_is_not_trusted()
    {
        using (var writer = await _files.WriterAsync(await _files.CreateAsync()))
            await writer.CommitAsync(Heavy, default);
        Assert.Equal([VaultPath.Checkpoint(2)], await CheckpointsAsync());
        var forged = (await _files.OpenAsync()).State with { CoveredTo = Covered(0xBAD).CoveredTo };
        await _files.Medium.DeleteAsync(VaultPath.Checkpoint(2), default);
        await CheckpointStore.WriteAsync(_files.Medium, forged, (await _files.OpenAsync()).IdentityHash, default);

        // The next writer was not the one that wrote it, and does not name it.
        using (await _files.WriterAsync(await _files.OpenAsync()))
            Assert.Equal(new Lsn(80), (await _files.OpenAsync()).State.CoveredTo!.Position.Lsn);
    }

    [Fact]
    public async Task A_damaged_checkpoint_costs_time_and_nothing_else()
    {
        using (var writer = await _files.WriterAsync(await _files.CreateAsync()))
        {
            await writer.CommitAsync(Heavy, default);
            await writer.CommitAsync(Covered(90), default);
        }
        var path = _files.PathOf(VaultPath.Checkpoint(2));
        var bytes = await File.ReadAllBytesAsync(path);
        bytes[bytes.Length / 2] ^= 1;
        await File.WriteAllBytesAsync(path, bytes);

        Assert.Equal(new Lsn(90), (await _files.OpenAsync()).State.CoveredTo!.Position.Lsn);
    }

    [Fact]
    public async Task Checkpoints_come_only_when_the_commits_weigh_as_much()
    {
        using var writer = await _files.WriterAsync(await _files.CreateAsync());
        for (var i = 1UL; i <= 50; i++)
            await writer.CommitAsync(Covered(i), default);

        Assert.Empty(await CheckpointsAsync());
    }

    ValueTask<List<string>> CheckpointsAsync() => _files.Medium.ListAsync("checkpoints/").Select(file => file.Path).ToListAsync();
}
