using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Xunit;
using ZstdSharp;

namespace CrmBackup.Cdc.Tests.Hostile;

/// <summary>A vault crafted by an enemy: bounded memory, an error with a name, nothing outside the vault read as a part of it.</summary>
public sealed class HostileVaultTests : IDisposable
{
    readonly TemporaryVault _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public void A_decompression_bomb_is_refused_before_it_fills_memory()
    {
        using var compressor = new Compressor();
        var bomb = compressor.Wrap(new byte[500 << 20]).ToArray();
        Assert.True(bomb.Length < 100_000);
        var bundle = new byte[SchemaBundle.HeaderLength + bomb.Length];
        SchemaBundle.Magic.CopyTo(bundle);
        BitConverter.TryWriteBytes(bundle.AsSpan(8), (long)bomb.Length);
        Sha256.Of(bomb).ToBytes().CopyTo(bundle.AsSpan(16));
        bomb.CopyTo(bundle.AsSpan(SchemaBundle.HeaderLength));
        var before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Throws<FormatViolationException>(() => CheckpointStore.Parse(4, bomb));
        Assert.Throws<FormatViolationException>(() => SaidText.Decode(Convert.ToBase64String(bomb)));
        Assert.False(SchemaBundle.TryDecode(bundle, out _));

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64L << 20);
    }

    [Theory]
    [InlineData("../../etc/passwd")]
    [InlineData("/etc/passwd")]
    [InlineData("log/../../x.parquet")]
    [InlineData("log//x.parquet")]
    [InlineData("log/\u001b[2J.parquet")]
    [InlineData("LOG/x.parquet")]
    [InlineData("log/.hidden")]
    public async Task A_path_out_of_the_vault_makes_its_commit_invalid(string path)
    {
        using (await _files.WriterAsync(await _files.CreateAsync()))
        {
        }
        var first = CommitCodec.Parse(1, await File.ReadAllBytesAsync(_files.PathOf(VaultPath.Commit(1))));
        await File.WriteAllBytesAsync(_files.PathOf(VaultPath.Commit(2)), CommitCodec.Encode(
            first.Head with { Number = 2, Prev = first.Hash }, new CommitContent { Add = [Samples.Segment(path, [1])] }));

        var refused = await Assert.ThrowsAsync<FormatViolationException>(_files.OpenAsync);

        Assert.DoesNotContain('\u001b', refused.Message);
        Assert.Equal([VaultPath.Commit(2)], (await VaultVerification.RunAsync(_files.Medium)).Damage.Select(damage => damage.Path).Distinct());
    }

    [Theory]
    [InlineData("\"bytes\":1", "\"bytes\":-1")]
    [InlineData("\"rows\":3", "\"rows\":9223372036854775807")]
    [InlineData("\"relations\":[", "\"relations\":[null,")]
    [InlineData("\"snapshot\":\"739:745:\"", "\"snapshot\":\"739:745:99999999999999999999\"")]
    [InlineData("\"lastValue\":\"42\"", "\"lastValue\":\"x\"")]
    public void A_count_or_a_name_that_no_vault_has_makes_its_commit_invalid(string part, string forged)
    {
        var head = new CommitHead(VaultFormat.Current, 1, Sha256.Zero, DateTimeOffset.UnixEpoch, new WriterIdentity(Guid.NewGuid(), 1, "here", 1));
        var text = Encoding.UTF8.GetString(CommitCodec.Encode(head, Samples.Everything(Samples.Segment("log/2026-11-22/a.parquet", [1]), Sha256.Of([5]))));
        Assert.Contains(part, text, StringComparison.Ordinal);
        var body = text[..text.IndexOf(",\"check\":\"", StringComparison.Ordinal)].Replace(part, forged, StringComparison.Ordinal);

        Assert.Throws<FormatViolationException>(() => CommitCodec.Parse(1, Encoding.UTF8.GetBytes($"{body},\"check\":\"{Sha256.Of(Encoding.UTF8.GetBytes(body))}\"}}\n")));
    }

    [Fact]
    public async Task A_schema_that_names_files_elsewhere_is_not_read()
    {
        await _files.CreateAsync();
        var manifest = Encoding.UTF8.GetBytes($$"""{"format":1,"files":[{"name":"../../../../etc/passwd","bytes":1,"sha256":"{{Sha256.Zero}}"}]}""");
        var hash = Sha256.Of(manifest);
        Directory.CreateDirectory(_files.PathOf($"schema/{hash}"));
        await File.WriteAllBytesAsync(_files.PathOf($"schema/{hash}/manifest.json"), manifest);

        await Assert.ThrowsAsync<FormatViolationException>(() => new SchemaStore(_files.Medium).ReadAsync(hash, default));
    }
}
