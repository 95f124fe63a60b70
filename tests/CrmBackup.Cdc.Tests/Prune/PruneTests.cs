using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class PruneTests : IDisposable
{
    const string Settled = "log/2026-11-22/settled.parquet";
    const string Live = "log/2026-11-22/live.parquet";
    const string Orphan = "log/2026-11-22/orphan.parquet";
    const string Unfinished = "tmp/segment-0a1b";

    readonly TemporaryVault _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task What_left_the_live_set_goes_after_the_grace_and_not_before()
    {
        await WriteVaultAsync();
        _files.Clock.Advance(TimeSpan.FromHours(23));
        var early = await PruneAsync();
        Assert.Empty(early.Removed);
        Assert.Equal([Orphan, Settled, "sql/2.sql", Unfinished], early.Kept.Select(file => file.Path).Order(StringComparer.Ordinal));

        _files.Clock.Advance(TimeSpan.FromHours(2));
        var report = await PruneAsync();

        Assert.Equal([Orphan, Settled, "sql/2.sql", Unfinished], report.Removed.Select(file => file.Path).Order(StringComparer.Ordinal));
        Assert.Equal([Live, "notes.txt", "sql/4.sql", VaultWriter.LockPath, VaultPath.Identity], await FilesAsync());
        Assert.Empty((await VaultVerification.RunAsync(_files.Medium)).Damage);
    }

    [Fact]
    public async Task A_file_that_is_old_but_left_the_live_set_only_now_stays()
    {
        var vault = await WriteVaultAsync();
        _files.Clock.Advance(TimeSpan.FromDays(7));
        using (var writer = await _files.WriterAsync(vault))
            await writer.CommitAsync(new CommitContent { Remove = [Live] }, default);
        _files.Clock.Advance(TimeSpan.FromHours(23));

        var report = await PruneAsync();

        Assert.Contains(Live, report.Kept.Select(file => file.Path));
        Assert.Contains(Settled, report.Removed.Select(file => file.Path));
    }

    [Fact]
    public async Task A_dry_run_says_what_would_go_and_removes_nothing()
    {
        await WriteVaultAsync();
        _files.Clock.Advance(TimeSpan.FromHours(25));
        var before = await FilesAsync();

        var report = await PruneAsync(dryRun: true);

        Assert.Equal(4, report.Removed.Count);
        Assert.Equal(before, await FilesAsync());
    }

    [Fact]
    public async Task Nothing_goes_while_a_restore_reads()
    {
        await WriteVaultAsync();
        _files.Clock.Advance(TimeSpan.FromHours(25));
        await using (await RestoreLease.TryTakeAsync(_files.Medium, "restore of crm to latest", _files.Clock, default))
        {
            Assert.Contains("restore of crm to latest", (await Assert.ThrowsAsync<RefusedException>(() => PruneAsync())).Message);

            // Renewed as long as the restore goes on, however long that is.
            for (var i = 0; i < 12; i++)
            {
                _files.Clock.Advance(TimeSpan.FromMinutes(20));
                await UntilAsync(async () => (await RestoreLease.StandingAsync(_files.Medium, _files.Clock, default))
                    .Any(lease => lease.Expires == _files.Clock.GetUtcNow() + TimeSpan.FromHours(1)));
            }
        }

        Assert.Equal(4, (await PruneAsync()).Removed.Count);
    }

    [Fact]
    public async Task The_lease_of_a_killed_restore_expires()
    {
        await WriteVaultAsync();
        var lease = $$"""{"holder":"dead","expires":"{{_files.Clock.GetUtcNow().AddHours(1):O}}"}""";
        await _files.Medium.TryCreateAsync("tmp/lease-dead.json", System.Text.Encoding.UTF8.GetBytes(lease), default);
        await Assert.ThrowsAsync<RefusedException>(() => PruneAsync());

        _files.Clock.Advance(TimeSpan.FromMinutes(61));

        await PruneAsync();
    }

    [Fact]
    public async Task A_lease_follows_its_schema()
    {
        await _files.CreateAsync();
        await using var lease = await RestoreLease.TryTakeAsync(_files.Medium, "restore", _files.Clock, default);
        var file = await _files.Medium.ListAsync("tmp/").FirstAsync(
            found => found.Path.StartsWith(RestoreLease.Prefix, StringComparison.Ordinal));

        Assert.Empty(JsonSchemaFile.Load("lease.schema.json").Problems((await _files.Medium.ReadAsync(file.Path, default))!));
    }

    [Fact]
    public async Task Too_short_a_grace_is_refused() =>
        await Assert.ThrowsAsync<UsageException>(() => VaultPrune.RunAsync(
            _files.Medium, new PruneOptions { Grace = TimeSpan.FromMinutes(1) }, _files.Clock, default));

    Task<PruneReport> PruneAsync(bool dryRun = false) =>
        VaultPrune.RunAsync(_files.Medium, new PruneOptions { DryRun = dryRun }, _files.Clock, default);

    /// <summary>Commits: 1 open, 2 adds, 3 adds, 4 removes the settled one.</summary>
    async Task<BackupVault> WriteVaultAsync()
    {
        var vault = await _files.CreateAsync();
        using var writer = await _files.WriterAsync(vault);
        await writer.CommitAsync(new CommitContent { Add = [await SegmentAsync(Settled)] }, default);
        await writer.CommitAsync(new CommitContent { Add = [await SegmentAsync(Live)] }, default);
        await writer.CommitAsync(new CommitContent { Remove = [Settled] }, default);
        await SegmentAsync(Orphan);
        await ViewsFile.WriteAsync(_files.Medium, 2, "old", default);
        await ViewsFile.WriteAsync(_files.Medium, 4, "new", default);
        await File.WriteAllTextAsync(_files.PathOf(Unfinished), "half a segm");
        await File.WriteAllTextAsync(_files.PathOf("notes.txt"), "not ours");
        foreach (var path in new[] { Settled, Live, Orphan, Unfinished, "sql/2.sql", "sql/4.sql" })
            File.SetLastWriteTimeUtc(_files.PathOf(path), _files.Clock.GetUtcNow().UtcDateTime);
        return vault;
    }

    async Task<SegmentEntry> SegmentAsync(string path)
    {
        await _files.Medium.TryCreateAsync(path, "segment"u8.ToArray(), default);
        return Samples.Segment(path, "segment"u8.ToArray());
    }

    async Task<List<string>> FilesAsync() =>
        await _files.Medium.ListAsync("").Select(file => file.Path)
            .Where(path => !path.StartsWith("commits/", StringComparison.Ordinal)).ToListAsync();

    static async Task UntilAsync(Func<Task<bool>> holds)
    {
        for (var i = 0; i < 500; i++)
        {
            if (await holds())
                return;
            await Task.Delay(10);
        }
        Assert.Fail("waited in vain");
    }
}
