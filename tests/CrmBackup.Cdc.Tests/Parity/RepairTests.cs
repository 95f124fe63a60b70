using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests.Salvage;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests.Parity;

public sealed class RepairTests
{
    [Fact]
    public async Task Whatever_happens_to_as_many_files_as_there_is_parity_is_mended_and_the_same_events_are_read()
    {
        using var vault = await ProtectedVault.OfRealSegmentsAsync(parities: 2);
        for (var seed = 0; seed < Mended; seed++)
        {
            var random = new Random(seed);
            foreach (var path in vault.Members.OrderBy(_ => random.Next()).Take(random.Next(3)))
                vault.Damage(random, path);
            // The files of one schema stand for each other, and the packs for all of these.
            foreach (var path in vault.Copied.OrderBy(_ => random.Next()).Take(random.Next(1, 8)))
                vault.Damage(random, path);

            var report = await vault.RepairAsync();

            Assert.True(report.After.ExitCode == ExitCode.Done && vault.IsAsBefore(), $"seed {seed}: {string.Join("; ", report.After.Damage)}");
        }
        LinkedVault.EventsOf(await BackupVault.OpenAsync(vault.Medium, default)).Zip(vault.Events).ToList()
            .ForEach(pair => Assert.Equal(pair.Second.NewTuple.ToArray(), pair.First.NewTuple.ToArray()));
    }

    static readonly int Mended = Environment.GetEnvironmentVariable("CRMBACKUP_TESTS_FULL") is { Length: > 0 } ? 2_000 : 25;

    [Fact]
    public async Task A_flipped_bit_in_every_file_of_a_group_is_mended_where_no_three_are_at_the_same_place()
    {
        using var vault = await ProtectedVault.OfRandomSegmentsAsync(15, 1_200_000, new ParityOptions { Files = 2 });
        Assert.Equal(18, vault.Members.Count);
        foreach (var (i, path) in vault.Members.Index())
        {
            var bytes = await File.ReadAllBytesAsync(vault.PathOf(path));
            if (bytes.Length == 0)
                continue;
            bytes[Math.Min((1 + i / 2) << 16, bytes.Length - 1)] ^= 4;
            vault.Put(path, bytes);
        }

        var report = await vault.RepairAsync();

        Assert.Equal(17, report.Mended.Count);
        Assert.Empty(report.After.Damage);
        Assert.True(vault.IsAsBefore());
    }

    [Fact]
    public async Task Beyond_the_bound_it_is_said_why_and_nothing_is_changed()
    {
        using var vault = await ProtectedVault.OfRandomSegmentsAsync(15, 5_000, new ParityOptions { Files = 2 });
        foreach (var path in vault.Members.Skip(1).Take(3))
            vault.Put(path, null);
        var before = vault.Files();

        var explained = await VaultRepair.ExplainAsync(vault.Medium, [], await VaultVerification.RunAsync(vault.Medium), default);
        var report = await vault.RepairAsync();

        Assert.Equal(3, report.After.Damage.Count);
        Assert.All(report.After.Damage.Concat(explained.Damage), damage => Assert.Contains("of the 18 files of its parity group 3 are damaged", damage.NotMendable, StringComparison.Ordinal));
        Assert.Equal(ExitCode.Difference, report.After.ExitCode);
        Assert.Empty(report.Mended);
        Assert.Equal(before.Keys, vault.Files().Keys);
    }

    [Fact]
    public async Task Verify_says_what_could_be_mended_and_changes_nothing()
    {
        using var vault = await ProtectedVault.OfRandomSegmentsAsync(15, 5_000, new ParityOptions { Files = 2 });
        vault.Put(vault.Members[3], [1, 2, 3]);
        vault.Put(VaultPath.Commit(3), null);

        var explained = await VaultRepair.ExplainAsync(vault.Medium, [], await VaultVerification.RunAsync(vault.Medium), default);

        Assert.Equal(["a pack", "parity"], explained.Damage.Select(damage => damage.MendableFrom));
        Assert.False(vault.IsAsBefore());
    }

    [Fact]
    public async Task Lost_commits_and_the_identity_come_back_from_the_packs()
    {
        using var vault = await ProtectedVault.OfRealSegmentsAsync(parities: 2);
        foreach (var path in vault.Copied)
            vault.Put(path, null);

        var report = await vault.RepairAsync();

        Assert.Empty(report.After.Damage);
        Assert.True(vault.IsAsBefore());
    }

    [Fact]
    public async Task When_every_commit_is_gone_those_in_packs_come_back_though_nothing_names_them()
    {
        using var vault = await ProtectedVault.OfRealSegmentsAsync(parities: 2);
        Directory.Delete(vault.PathOf("commits"), recursive: true);
        File.Delete(vault.PathOf(vault.State.ParityPacks[0].Path));

        var report = await vault.RepairAsync();

        Assert.Equal(vault.State.ParityPacks[0].LastCommit, report.After.Head);
        Assert.Empty(report.After.Damage);
    }

    [Fact]
    public async Task Parity_that_is_lost_as_a_whole_is_written_anew()
    {
        using var vault = await ProtectedVault.OfRandomSegmentsAsync(15, 70_000, new ParityOptions { Files = 2 });
        foreach (var file in vault.State.ParityGroups.Values.SelectMany(group => group.Files))
            vault.Put(file.Path, file.Path.EndsWith("00.parity", StringComparison.Ordinal) ? null : [1]);

        var report = await vault.RepairAsync();

        Assert.Empty(report.After.Damage);
        Assert.True(vault.IsAsBefore());
    }

    [Fact]
    public async Task Without_parity_everything_comes_back_from_a_second_copy()
    {
        using var vault = await LinkedVault.CreateAsync();
        var second = Directory.CreateTempSubdirectory("second-copy-").FullName;
        try
        {
            foreach (var file in Directory.EnumerateFiles(vault.Root, "*", SearchOption.AllDirectories))
            {
                var copy = Path.Combine(second, Path.GetRelativePath(vault.Root, file));
                Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
                File.Copy(file, copy);
            }
            foreach (var path in Directory.EnumerateFiles(vault.Root, "*", SearchOption.AllDirectories).Where((file, i) => i % 3 != 1 && !file.Contains("/tmp/", StringComparison.Ordinal)))
                await File.WriteAllBytesAsync(path, [1, 2]);

            var alone = await ProtectedVault.RepairAsync(vault.Medium);
            Assert.Equal(ExitCode.Difference, alone.After.ExitCode);
            var report = await ProtectedVault.RepairAsync(vault.Medium, new DirectoryMedium(second));

            Assert.Empty(report.After.Damage);
            Assert.Equal(vault.Events.Count, LinkedVault.EventsOf(await BackupVault.OpenAsync(vault.Medium, default)).Count);
        }
        finally
        {
            Directory.Delete(second, recursive: true);
        }
    }

    [Fact]
    public async Task An_interrupted_repair_has_lost_nothing_and_the_next_one_ends_it()
    {
        using var vault = await ProtectedVault.OfRandomSegmentsAsync(15, 300_000, new ParityOptions { Files = 2 });
        // Three files, each with a bit at another place: one that is deleted before it is mended would be one too many.
        foreach (var (i, path) in vault.Members.Skip(1).Take(3).Index())
        {
            var bytes = await File.ReadAllBytesAsync(vault.PathOf(path));
            bytes[i << 16] ^= 1;
            vault.Put(path, bytes);
        }
        for (var at = 0; at < 3; at++)
        {
            var disk = new Interrupted(at);
            await Assert.ThrowsAsync<MediumException>(() => ProtectedVault.RepairAsync(new DirectoryMedium(vault.Root, disk)));
            Assert.All(vault.Members, path => Assert.True(File.Exists(vault.PathOf(path))));
            if (at > 0)
                break;
        }

        Assert.Empty((await vault.RepairAsync()).After.Damage);
        Assert.True(vault.IsAsBefore());
    }

    [Fact]
    public async Task Where_nothing_may_be_replaced_it_is_refused_before_anything_is_changed_and_what_is_missing_is_made()
    {
        using var vault = await ProtectedVault.OfRandomSegmentsAsync(15, 5_000, new ParityOptions { Files = 2 });
        var medium = new DirectoryMedium(vault.Root, createOnly: true);
        vault.Put(vault.Members[1], [1]);
        vault.Put(vault.Members[2], null);
        var refused = await Assert.ThrowsAsync<RefusedException>(() => ProtectedVault.RepairAsync(medium));
        Assert.Contains(vault.Members[1], refused.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(vault.PathOf(vault.Members[2])));

        vault.Put(vault.Members[1], null);
        var report = await ProtectedVault.RepairAsync(medium);

        Assert.Empty(report.After.Damage);
        Assert.True(vault.IsAsBefore());
    }

    /// <summary>The power goes when the file is put in place.</summary>
    sealed class Interrupted(int after) : DiskCalls
    {
        int _left = after;

        public override void Replace(string from, string to)
        {
            if (_left-- == 0)
                throw new IOException("interrupted");
            base.Replace(from, to);
        }
    }
}
