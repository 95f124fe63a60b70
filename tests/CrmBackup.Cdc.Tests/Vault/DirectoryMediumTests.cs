using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class DirectoryMediumTests : IDisposable
{
    readonly TemporaryVault _files = new();

    public void Dispose() => _files.Dispose();

    [Theory]
    [InlineData("../etc/passwd")]
    [InlineData("/etc/passwd")]
    [InlineData("log/../../x")]
    [InlineData("log//x")]
    [InlineData("log/")]
    [InlineData("")]
    [InlineData(".")]
    [InlineData(".hidden")]
    [InlineData("log/date=2026")]
    [InlineData("log/C:x")]
    [InlineData("log/Upper")]
    [InlineData("log/a b")]
    [InlineData("log/a\0b")]
    [InlineData("log/\u001b[2J")]
    [InlineData("log\\x")]
    public async Task A_hostile_path_never_reaches_the_disk(string path)
    {
        var refused = await Assert.ThrowsAsync<FormatViolationException>(() => _files.Medium.ReadAsync(path, default));

        Assert.DoesNotContain(refused.Message, char.IsControl);
        await Assert.ThrowsAsync<FormatViolationException>(() => _files.Medium.TryCreateAsync(path, default, default));
        await Assert.ThrowsAsync<FormatViolationException>(() => _files.Medium.DeleteAsync(path, default));
        Assert.Throws<FormatViolationException>(() => _files.Medium.OpenRead(path));
    }

    [Fact]
    public void A_path_has_at_most_200_bytes()
    {
        Assert.True(VaultPath.IsValid(new string('a', 200)));
        Assert.False(VaultPath.IsValid(new string('a', 201)));
    }

    [Fact]
    public async Task A_file_is_created_once_with_the_modes_of_a_vault()
    {
        await _files.CreateAsync();

        Assert.True(await _files.Medium.TryCreateAsync("schema/ab/manifest.json", "one"u8.ToArray(), default));
        Assert.False(await _files.Medium.TryCreateAsync("schema/ab/manifest.json", "two"u8.ToArray(), default));
        Assert.True(await _files.Medium.TryCreateAsync("schema/ab/manifest.json", "one"u8.ToArray(), default));

        Assert.Equal("one"u8.ToArray(), await _files.Medium.ReadAsync("schema/ab/manifest.json", default));
        Assert.Equal("640", Mode(_files.PathOf("schema/ab/manifest.json")));
        Assert.Equal("750", Mode(_files.PathOf("schema/ab")));
        Assert.Empty(Directory.GetFiles(_files.PathOf("tmp")));
    }

    [Fact]
    public async Task A_published_file_has_its_final_name_and_never_replaces_another()
    {
        await _files.CreateAsync();
        var first = _files.Medium.NewTemporaryPath("segment");
        await File.WriteAllTextAsync(first, "first");
        await _files.Medium.PublishAsync(first, "log/2026-11-22/a.parquet", default);
        var second = _files.Medium.NewTemporaryPath("segment");
        await File.WriteAllTextAsync(second, "second");

        await Assert.ThrowsAsync<MediumException>(() => _files.Medium.PublishAsync(second, "log/2026-11-22/a.parquet", default));

        Assert.Equal("first"u8.ToArray(), await _files.Medium.ReadAsync("log/2026-11-22/a.parquet", default));
        Assert.Equal("640", Mode(_files.PathOf("log/2026-11-22/a.parquet")));
        Assert.False(File.Exists(first));
    }

    [Fact]
    public async Task Files_are_listed_in_the_order_of_their_paths_and_links_are_not_followed()
    {
        await _files.CreateAsync();
        string[] paths = ["a/b.c", "a/b/c", "a/b0", "a/b/d/e", "b", "a-b"];
        foreach (var path in paths)
            await _files.Medium.TryCreateAsync(path, "x"u8.ToArray(), default);
        Directory.CreateSymbolicLink(_files.PathOf("outside"), "/etc");
        File.CreateSymbolicLink(_files.PathOf("passwd"), "/etc/passwd");

        var all = await _files.Medium.ListAsync("").Select(file => file.Path).ToListAsync();

        Assert.Equal([.. paths.Append(VaultPath.Identity).Order(StringComparer.Ordinal)], all);
        foreach (var after in all)
            Assert.Equal(all.Where(path => string.CompareOrdinal(path, after) > 0),
                await _files.Medium.ListAsync("", after).Select(file => file.Path).ToListAsync());
        Assert.Equal(["a/b/c", "a/b/d/e"], await _files.Medium.ListAsync("a/b/").Select(file => file.Path).ToListAsync());
        Assert.Empty(await _files.Medium.ListAsync("nothing/").ToListAsync());
    }

    [Fact]
    public async Task What_is_missing_is_said_so()
    {
        await _files.CreateAsync();

        Assert.Null(await _files.Medium.ReadAsync("log/none", default));
        Assert.Equal(MediumFailure.Missing, Assert.Throws<MediumException>(() => _files.Medium.OpenRead("log/none")).Failure);
        await _files.Medium.DeleteAsync("log/none", default);
    }

    [Fact]
    public void A_lock_is_held_once()
    {
        using (Assert.IsAssignableFrom<IDisposable>(_files.Medium.TryLock("x.lock")))
            Assert.Null(_files.Medium.TryLock("x.lock"));
        using var again = _files.Medium.TryLock("x.lock");
        Assert.NotNull(again);
    }

    [Fact]
    public async Task A_disk_is_tried_before_a_vault_is_made_on_it()
    {
        var report = await MediumProbe.RunAsync(_files.Medium, default);

        Assert.True(report is { CreatesWhole: true, SyncsDirectories: true, TellsCaseApart: true, FreeBytes: > 0 }, report.ToString());
        Assert.Empty(Directory.GetFileSystemEntries(_files.PathOf("tmp")));
    }

    static string Mode(string path) =>
        OperatingSystem.IsWindows() ? throw new PlatformNotSupportedException() : Convert.ToString((int)File.GetUnixFileMode(path), 8);
}
