using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>An enemy who can write to the medium, and who has not the key.</summary>
public sealed class SigningTests : IDisposable
{
    readonly TemporaryVault _files = new(Directory.Exists("/dev/shm") ? "/dev/shm" : null);
    readonly SigningKey _key = SigningKey.New();

    TrustedKeys Trust => new([_key.Public]);

    public void Dispose()
    {
        _files.Dispose();
        _key.Dispose();
    }

    [Fact]
    public async Task A_signed_history_is_taken_and_each_commit_proves_itself()
    {
        await WriteAsync(4);

        var vault = await BackupVault.OpenAsync(_files.Medium, default, trust: Trust);

        Assert.Equal((5, _key.Public), (vault.State.Head, vault.Newest!.Head.SignedBy));
        var report = await VerifyAsync();
        Assert.Empty(report.Damage);
        var file = await File.ReadAllBytesAsync(_files.PathOf(VaultPath.Commit(5)));
        Assert.Equal([.. file.AsSpan(file.Length - 130, 1), .. file.AsSpan(file.Length - 1)], "\n\n"u8.ToArray());
    }

    [Fact]
    public async Task Every_bit_of_a_signed_commit_counts()
    {
        await WriteAsync(1);
        var path = _files.PathOf(VaultPath.Commit(2));
        var bytes = await File.ReadAllBytesAsync(path);
        for (var bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.True(CommitCodec.IsTorn(bytes) || !CommitCodec.TryParse(2, bytes, out _), $"bit {bit % 8} of byte {bit / 8} was flipped, and the commit is read");
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }
        Assert.True(CommitCodec.TryParse(2, bytes, out _));
        for (var length = 0; length < bytes.Length; length++)
            Assert.True(CommitCodec.IsTorn(bytes.AsSpan(0, length)), $"cut off after {length} bytes, and not torn");
        Assert.False(CommitCodec.TryParse(2, [.. bytes, (byte)'\n'], out _));
    }

    [Theory]
    [InlineData("added", 6)]
    [InlineData("replaced", 5)]
    [InlineData("stripped", 5)]
    [InlineData("other key", 6)]
    public async Task What_is_forged_is_refused_and_named(string how, int number)
    {
        await WriteAsync(4);
        using var other = SigningKey.New();
        var newest = Newest();
        var forged = (newest with { Number = number }, how) switch
        {
            ({ } head, "added") => CommitCodec.Encode(head with { Prev = Hash(5) }, TemporaryVault.Covered(0x9999)),
            ({ } head, "other key") => CommitCodec.Encode(head with { Prev = Hash(5) }, TemporaryVault.Covered(0x9999), other),
            ({ } head, "replaced") => CommitCodec.Encode(head, TemporaryVault.Covered(0x9999), other),
            var (head, _) => CommitCodec.Encode(head, TemporaryVault.Covered(4)),
        };
        Replace(number, forged);

        var refused = await Assert.ThrowsAsync<RefusedException>(() => BackupVault.OpenAsync(_files.Medium, default, trust: Trust));

        Assert.Contains(VaultPath.Commit(number), refused.Message);
        var report = await VerifyAsync();
        Assert.Equal((ExitCode.Difference, VaultPath.Commit(number)), (report.ExitCode, Assert.Single(report.Damage).Path));
        // No writer builds on it either: its signature would vouch for it.
        await Assert.ThrowsAsync<RefusedException>(async () => await WriterAsync(await _files.OpenAsync()));
    }

    [Fact]
    public async Task What_is_removed_from_the_middle_or_reordered_breaks_the_chain()
    {
        await WriteAsync(4);
        var (third, fourth) = (await File.ReadAllBytesAsync(_files.PathOf(VaultPath.Commit(3))), await File.ReadAllBytesAsync(_files.PathOf(VaultPath.Commit(4))));
        Replace(3, fourth);
        Replace(4, third);
        var swapped = await VerifyAsync();
        Assert.Equal([VaultPath.Commit(3), VaultPath.Commit(4)], swapped.Damage.Select(damage => damage.Path));
        File.Delete(_files.PathOf(VaultPath.Commit(3)));
        Replace(4, fourth);
        Assert.Equal([VaultPath.Commit(3)], (await VerifyAsync()).Damage.Select(damage => damage.Path));
    }

    [Fact]
    public async Task A_history_that_was_cut_off_or_replaced_shows_against_a_remembered_head()
    {
        await WriteAsync(2);
        var copy = Directory.GetFiles(_files.PathOf("commits/00000000")).ToDictionary(path => path, File.ReadAllBytes);
        using (var writer = await WriterAsync(await _files.OpenAsync()))
            await writer.CommitAsync(TemporaryVault.Covered(0x300), default);
        var vault = await _files.OpenAsync();
        var head = new FileReference(vault.State.Head, vault.State.HeadHash);
        Assert.Empty((await VerifyAsync(head)).Damage);

        foreach (var path in Directory.GetFiles(_files.PathOf("commits/00000000")).Except(copy.Keys))
            File.Delete(path);
        Assert.Empty((await VerifyAsync()).Damage);
        var cut = await VerifyAsync(head);
        Assert.Contains("cut off behind commit 3", Assert.Single(cut.Damage).What);

        for (var i = 0; i < 3; i++)
            using (var writer = await WriterAsync(await _files.OpenAsync()))
                await writer.CommitAsync(TemporaryVault.Covered(0x400), default);
        Assert.Empty((await VerifyAsync()).Damage);
        Assert.Contains("not the commit that was seen", Assert.Single((await VerifyAsync(head)).Damage).What);
    }

    [Fact]
    public async Task A_vault_once_signed_is_not_written_without_the_key_and_an_unsigned_one_must_be_adopted()
    {
        using (var writer = await _files.WriterAsync(await _files.CreateAsync()))
            await writer.CommitAsync(TemporaryVault.Covered(0x100), default);
        await Assert.ThrowsAsync<RefusedException>(async () => await WriterAsync(await _files.OpenAsync()));
        await Assert.ThrowsAsync<RefusedException>(() => BackupVault.OpenAsync(_files.Medium, default, trust: Trust));

        (await VaultWriter.OpenAsync(await _files.OpenAsync(), _files.Clock, "here", 1, default, key: _key, adopt: true)).Dispose();

        var vault = await BackupVault.OpenAsync(_files.Medium, default, trust: Trust);
        Assert.Equal(new Lsn(0x100), vault.State.CoveredTo!.Position.Lsn);
        Assert.Contains("commit 3 vouches for them", Assert.Single((await VerifyAsync()).Notes));
        var refused = await Assert.ThrowsAsync<RefusedException>(async () => await _files.WriterAsync(await _files.OpenAsync()));
        Assert.Contains(_key.Public, refused.Message);
        (await WriterAsync(vault)).Dispose();
    }

    [Fact]
    public async Task A_reader_that_follows_takes_nothing_unsigned()
    {
        await WriteAsync(1);
        var reader = await BackupVault.OpenAsync(_files.Medium, default, trust: Trust);
        Replace(3, CommitCodec.Encode(Newest() with { Number = 3, Prev = Hash(2) }, TemporaryVault.Covered(0x9999)));

        await Assert.ThrowsAsync<RefusedException>(() => reader.RefreshAsync(default));
    }

    [Fact]
    public void Keys_are_read_as_they_are_written_and_several_may_be_trusted()
    {
        using var again = SigningKey.Parse(_key.ToPrivatePem(), "test");
        using var other = SigningKey.New();
        Assert.Equal(_key.Public, again.Public);
        var both = TrustedKeys.Parse(Encoding.UTF8.GetString([.. _key.ToPublicPem(), (byte)'\n', .. other.ToPublicPem()]), "test");
        Assert.Equal([_key.Public, other.Public], both.All);
        Assert.Throws<UsageException>(() => TrustedKeys.Parse("nothing", "test"));
        Assert.Throws<UsageException>(() => TrustedKeys.Parse(Encoding.UTF8.GetString(_key.ToPrivatePem()), "test"));
        Assert.DoesNotContain("PRIVATE", Assert.Throws<UsageException>(() => SigningKey.Parse(_key.ToPublicPem(), "the file")).Message, StringComparison.Ordinal);
    }

    async Task WriteAsync(int commits)
    {
        using var writer = await WriterAsync(await _files.CreateAsync());
        for (var i = 1UL; i <= (ulong)commits; i++)
            await writer.CommitAsync(TemporaryVault.Covered(i), default);
    }

    Task<VaultWriter> WriterAsync(BackupVault vault) => VaultWriter.OpenAsync(vault, _files.Clock, "here", 1, default, key: _key);

    Task<VaultVerificationReport> VerifyAsync(FileReference? head = null) =>
        VaultVerification.RunAsync(_files.Medium, trust: Trust, head: head);

    CommitHead Newest()
    {
        var number = Directory.GetFiles(_files.PathOf("commits/00000000")).Length;
        return CommitCodec.Parse(number, File.ReadAllBytes(_files.PathOf(VaultPath.Commit(number)))).Head;
    }

    Sha256 Hash(int number) => Sha256.Of(File.ReadAllBytes(_files.PathOf(VaultPath.Commit(number))));

    void Replace(int number, byte[] bytes) => File.WriteAllBytes(_files.PathOf(VaultPath.Commit(number)), bytes);
}
