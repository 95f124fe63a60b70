using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class VaultVerificationTests : IDisposable
{
    readonly TemporaryVault _files = new(Directory.Exists("/dev/shm") ? "/dev/shm" : null);
    readonly Random _random = new(20261122);

    /// <summary>Every bit of a commit is tried in <see cref="SigningTests"/>.</summary>
    static readonly int FlippedBits = Environment.GetEnvironmentVariable("CRMBACKUP_TESTS_FULL") is { Length: > 0 } ? 10_000 : 400;

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task A_sound_vault_is_said_to_be_sound()
    {
        await WriteVaultAsync();
        var progress = new List<VerificationProgress>();

        var report = await VaultVerification.RunAsync(_files.Medium, new Listing(progress));

        Assert.Empty(report.Damage);
        Assert.Equal(ExitCode.Done, report.ExitCode);
        Assert.Equal((TemporaryVault.Identity.Id, 10L, 2, 5, 5, 1, 1), (report.Vault, report.Head, report.Writers, report.SegmentsLive,
            report.SegmentsVerified, report.Schemas, report.Checkpoints));
        var last = progress.MaxBy(step => step.BytesDone);
        Assert.Equal((report.BytesVerified, report.BytesVerified), (last.BytesDone, last.BytesTotal));
        Assert.Equal(["log/2026-11-22/orphan.parquet", "note.txt"], report.Orphans.Select(file => file.Path));
        Assert.Equal(["log/2026-11-22/0.parquet"], report.Retired.Select(file => file.Path));
        Assert.Contains("set aside by commit 9", Assert.Single(report.Notes));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Any_flipped_bit_in_any_file_is_found_and_its_file_named(bool signed)
    {
        using var key = SigningKey.New();
        _files.Key = signed ? key : null;
        await WriteVaultAsync();
        var named = Named();
        Assert.Equal(22, named.Count);
        for (var sample = 0; sample < FlippedBits; sample++)
        {
            var path = named[sample % named.Count];
            var bytes = await File.ReadAllBytesAsync(_files.PathOf(path));
            // The last byte and the first are special in several formats.
            var at = (sample / named.Count) switch { 0 => bytes.Length - 1, 1 => 0, _ => _random.Next(bytes.Length) };
            var bit = _random.Next(8);
            bytes[at] ^= (byte)(1 << bit);
            await File.WriteAllBytesAsync(_files.PathOf(path), bytes);

            var report = await VaultVerification.RunAsync(_files.Medium);

            Assert.True(report.Damage.Any(damage => damage.Path == path), $"bit {bit} of byte {at} of {path} was flipped, found: {string.Join("; ", report.Damage)}");
            Assert.Equal(ExitCode.Difference, report.ExitCode);
            bytes[at] ^= (byte)(1 << bit);
            await File.WriteAllBytesAsync(_files.PathOf(path), bytes);
        }
    }

    [Fact]
    public async Task Any_file_that_is_cut_off_gone_or_another_ones_is_found_and_named()
    {
        using var key = SigningKey.New();
        _files.Key = key;
        await WriteVaultAsync();
        var named = Named();
        var bytes = named.ToDictionary(path => path, path => File.ReadAllBytes(_files.PathOf(path)));
        foreach (var path in named)
        {
            foreach (var length in new[] { 0, 1, bytes[path].Length / 2, bytes[path].Length - 1 })
                await FoundAsync(path, bytes[path][..length], $"cut off after {length} bytes");
            // Any other file in its place: swapped by someone, or an older one put back.
            foreach (var other in named.Where(other => !bytes[other].AsSpan().SequenceEqual(bytes[path]) && (other.Split('/')[0] == path.Split('/')[0] || _random.Next(8) == 0)))
                await FoundAsync(path, bytes[other], $"with the bytes of {other}");
            // What can be made anew is missed by nobody, and only a remembered head misses the newest commit.
            if (!path.StartsWith("checkpoints/", StringComparison.Ordinal) && !path.StartsWith("sql/", StringComparison.Ordinal)
                && !path.EndsWith("/bundle", StringComparison.Ordinal) && path != VaultPath.Commit(10))
                await FoundAsync(path, null, "gone");
        }

        async Task FoundAsync(string path, byte[]? changed, string how)
        {
            File.Delete(_files.PathOf(path));
            if (changed is not null)
                await File.WriteAllBytesAsync(_files.PathOf(path), changed);
            var report = await VaultVerification.RunAsync(_files.Medium);
            Assert.True(report.Damage.Any(damage => damage.Path == path), $"{path} {how}, found: {string.Join("; ", report.Damage)}");
            Assert.Equal(ExitCode.Difference, report.ExitCode);
            await File.WriteAllBytesAsync(_files.PathOf(path), bytes[path]);
        }
    }

    [Fact]
    public async Task Damage_names_the_tables_and_what_can_still_be_restored()
    {
        await WriteVaultAsync();
        var whole = Assert.Single((await VaultVerification.RunAsync(_files.Medium)).Remaining!.Database);
        Assert.Equal((Samples.At(0x20), Samples.At(0x500)), (whole.From, whole.UpTo));
        const string path = "tables/000001-crm.accounts/changes/2026-11-22/3.parquet";
        File.Delete(_files.PathOf(path));

        var report = await VaultVerification.RunAsync(_files.Medium);

        var damage = Assert.Single(report.Damage);
        Assert.Equal(path, damage.Path);
        Assert.Equal(["crm.accounts"], damage.Relations);
        Assert.NotNull(damage.Expected);
        Assert.Null(damage.Actual);
        // Its first event ends at 0/100.
        var left = Assert.Single(report.Remaining!.Database);
        Assert.Equal((Samples.At(0x20), Samples.At(0xFF)), (left.From, left.UpTo));
        var lost = Assert.Single(report.Affected);
        Assert.Equal((Samples.At(0x100), Samples.At(0x500)), (lost.From, lost.UpTo));
    }

    [Fact]
    public async Task A_base_that_cannot_be_read_covers_nothing()
    {
        await WriteVaultAsync();
        await File.AppendAllTextAsync(_files.PathOf("tables/000001-crm.accounts/base/2026-11-22/2.parquet"), "x");

        var report = await VaultVerification.RunAsync(_files.Medium);

        Assert.Equal(["crm.accounts"], Assert.Single(report.Damage).Relations);
        Assert.Empty(report.Remaining!.Database);
    }

    [Theory]
    [InlineData(1, 2)]
    [InlineData(4, 5)]
    public async Task A_missing_commit_is_named_and_the_rest_still_checked(int first, int second)
    {
        await WriteVaultAsync();
        File.Delete(_files.PathOf(VaultPath.Commit(first)));
        File.Delete(_files.PathOf(VaultPath.Commit(second)));
        await File.AppendAllTextAsync(_files.PathOf("log/2026-11-22/5.parquet"), "x");

        var report = await VaultVerification.RunAsync(_files.Medium);

        Assert.Equal([VaultPath.Commit(first), VaultPath.Commit(second), "log/2026-11-22/5.parquet"], report.Damage.Select(damage => damage.Path));
        // The vault still opens by its checkpoint after commit 6.
        Assert.NotNull(report.Remaining);
    }

    [Fact]
    public async Task Only_what_is_new_is_hashed_when_asked_to()
    {
        await WriteVaultAsync();

        var report = await VaultVerification.RunAsync(_files.Medium, segmentsAddedAfter: 4);

        Assert.Equal((5, 2), (report.SegmentsLive, report.SegmentsVerified));
    }

    [Fact]
    public async Task Without_a_vault_there_is_nothing_to_verify() =>
        await Assert.ThrowsAsync<RefusedException>(() => VaultVerification.RunAsync(_files.Medium));

    /// <summary>Every file that counts.</summary>
    List<string> Named() =>
    [
        .. Directory.EnumerateFiles(_files.Root, "*", SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(_files.Root, path))
            .Where(path => !path.StartsWith("tmp/", StringComparison.Ordinal) && path is not ("log/2026-11-22/orphan.parquet" or "note.txt" or "log/2026-11-22/0.parquet"))
            .Order(StringComparer.Ordinal),
    ];

    /// <summary>Commits: 1 open, 2 to 5 segments, 6 heavy (a checkpoint follows), 7 names it, 8 torn, 9 sets it aside,
    /// 10 covers.</summary>
    async Task WriteVaultAsync()
    {
        var vault = await _files.CreateAsync();
        var schema = await new SchemaStore(_files.Medium).PutAsync(
            new Dictionary<string, byte[]> { ["pre-data.sql"] = "CREATE"u8.ToArray(), ["post-data.sql"] = [9, 9] }, default);
        using (var writer = await _files.WriterAsync(vault))
        {
            var retired = await SegmentAsync("log/2026-11-22/0.parquet", SegmentKind.Log);
            await writer.CommitAsync(Samples.Everything(retired, schema) with { Gaps = [] }, default);
            await writer.CommitAsync(new CommitContent
            {
                Add =
                [
                    await SegmentAsync("tables/000001-crm.accounts/base/2026-11-22/2.parquet", SegmentKind.Base),
                    await SegmentAsync("tables/000001-crm.accounts/changes/2026-11-22/3.parquet", SegmentKind.Changes),
                ],
                Remove = ["log/2026-11-22/0.parquet"],
            }, default);
            await writer.CommitAsync(new CommitContent { Add = [await SegmentAsync("log/2026-11-22/4.parquet", SegmentKind.Log)] }, default);
            await writer.CommitAsync(new CommitContent { Add = [await SegmentAsync("log/2026-11-22/5.parquet", SegmentKind.Log)] }, default);
            await writer.CommitAsync(new CommitContent { Settings = new Dictionary<string, string> { ["filler"] = new('x', 300_000) } }, default);
            await writer.CommitAsync(new CommitContent { Add = [await SegmentAsync("log/2026-11-22/7.parquet", SegmentKind.Log)] }, default);
        }
        await File.WriteAllTextAsync(_files.PathOf(VaultPath.Commit(8)), "{\"format\":");
        using (var writer = await _files.WriterAfterTheWaitAsync())
            await writer.CommitAsync(TemporaryVault.Covered(0x500), default);
        await ViewsFile.WriteAsync(_files.Medium, 10, "CREATE VIEW accounts AS SELECT 1;\n", default);
        await SegmentAsync("log/2026-11-22/orphan.parquet", SegmentKind.Log);
        await File.WriteAllTextAsync(_files.PathOf("note.txt"), "please keep");
    }

    async Task<SegmentEntry> SegmentAsync(string path, SegmentKind kind)
    {
        var bytes = new byte[3_000 + _random.Next(1_000)];
        _random.NextBytes(bytes);
        var temporary = _files.Medium.NewTemporaryPath("segment");
        await File.WriteAllBytesAsync(temporary, bytes);
        await _files.Medium.PublishAsync(temporary, path, default);
        return Samples.Segment(path, bytes, kind);
    }

    sealed class Listing(List<VerificationProgress> steps) : IProgress<VerificationProgress>
    {
        public void Report(VerificationProgress value)
        {
            lock (steps)
                steps.Add(value);
        }
    }
}
