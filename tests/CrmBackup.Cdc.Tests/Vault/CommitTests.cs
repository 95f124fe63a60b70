using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Vault;
using Xunit;
using static CrmBackup.Cdc.Tests.TemporaryVault;

namespace CrmBackup.Cdc.Tests;

public sealed class CommitTests : IDisposable
{
    readonly TemporaryVault _files = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task What_was_committed_is_read_back_by_another_process()
    {
        using var writer = await _files.WriterAsync(await _files.CreateAsync());
        var content = new CommitContent
        {
            Add = [Segment("log/2026-11-22/a.parquet")],
            Marks = [new Mark("before import", new Position(1, new Lsn(77)), true, new SourceTime(5), 741)],
            Settings = new Dictionary<string, string> { ["publication"] = "crmbackup" },
        };
        await writer.CommitAsync(content, default);
        await writer.CommitAsync(new CommitContent { Remove = ["log/2026-11-22/a.parquet"], Add = [Segment("log/2026-11-22/b.parquet")] }, default);

        var state = (await _files.OpenAsync()).State;

        Assert.Equal(3, state.Head);
        Assert.Equal(1, state.Epoch);
        Assert.Equal(Segment("log/2026-11-22/b.parquet"), Assert.Single(state.Segments.Values));
        Assert.Equal(content.Marks, state.Marks);
        Assert.Equal("crmbackup", state.Settings["publication"]);
        Assert.Equal(writer.State.HeadHash, state.HeadHash);
    }

    [Fact]
    public async Task A_reader_follows_the_writer()
    {
        using var writer = await _files.WriterAsync(await _files.CreateAsync());
        var reader = await _files.OpenAsync();
        Assert.Equal(1, reader.State.Head);

        await writer.CommitAsync(Covered(5), default);

        Assert.Equal(new Lsn(5), (await reader.RefreshAsync(default)).CoveredTo!.Position.Lsn);
    }

    [Fact]
    public async Task An_old_writer_is_fenced_and_told_by_whom()
    {
        using var old = await _files.WriterAsync(await _files.CreateAsync());
        using var taker = await _files.WriterElsewhereAsync("there", 4711);

        var refused = await Assert.ThrowsAsync<RefusedException>(() => old.CommitAsync(Covered(1), default));

        Assert.Equal(ExitCode.Refused, refused.ExitCode);
        Assert.Contains("process 4711 on there, epoch 2, at 2026-11-22 10:00:00+00", refused.Message);
        Assert.Equal(3, (await taker.CommitAsync(Covered(2), default)).Head);
    }

    [Fact]
    public async Task A_second_writer_on_the_same_machine_is_refused_and_does_no_harm()
    {
        using var first = await _files.WriterAsync(await _files.CreateAsync(), "here", 12);

        var refused = await Assert.ThrowsAsync<RefusedException>(async () => await _files.WriterAsync(await _files.OpenAsync()));

        Assert.Contains("process 12 on here", refused.Message);
        Assert.Equal(2, (await first.CommitAsync(Covered(1), default)).Head);
    }

    [Fact]
    public async Task A_name_is_never_given_twice()
    {
        var first = await _files.WriterAsync(await _files.CreateAsync());
        var day = new DateOnly(2026, 11, 22);
        var shape = new RelationShape(7, 1, new Lsn(1), 16384, "crm", "Größe=1", ReplicaIdentity.Default, []);
        var names = new List<string> { first.NextLogPath(day, new Lsn(0x1A2B)), first.NextTablePath(shape, SegmentKind.Base, day) };
        Assert.Equal("log/2026-11-22/00000001-000000000001-0000000000001a2b.parquet", names[0]);
        Assert.Equal("tables/000007-crm.gr__e_1/base/2026-11-22/00000001-000000000002.parquet", names[1]);
        first.Dispose();

        using var second = await _files.WriterAsync(await _files.OpenAsync());
        names.Add(second.NextLogPath(day, new Lsn(0x1A2B)));

        Assert.Equal(3, names.Distinct().Count());
        Assert.All(names, name => Assert.True(VaultPath.IsValid(name)));
    }

    [Theory]
    [InlineData("vanished", "missing")]
    [InlineData("rewritten", "chain is broken")]
    [InlineData("flipped", "do not match their own check")]
    [InlineData("swapped", "holds commit")]
    public async Task A_broken_chain_is_noticed(string how, string message)
    {
        using (var writer = await _files.WriterAsync(await _files.CreateAsync()))
            for (var i = 1UL; i <= 4; i++)
                await writer.CommitAsync(Covered(i), default);
        var third = _files.PathOf(VaultPath.Commit(3));
        var bytes = await File.ReadAllBytesAsync(third);
        switch (how)
        {
            case "vanished":
                File.Delete(third);
                break;
            case "rewritten":
                var commit = CommitCodec.Parse(3, bytes);
                await File.WriteAllBytesAsync(third, CommitCodec.Encode(commit.Head, Covered(99)));
                break;
            case "flipped":
                bytes[bytes.Length / 2] ^= 1;
                await File.WriteAllBytesAsync(third, bytes);
                break;
            case "swapped":
                File.Copy(_files.PathOf(VaultPath.Commit(4)), third, overwrite: true);
                break;
        }

        var broken = await Assert.ThrowsAsync<FormatViolationException>(_files.OpenAsync);

        Assert.Contains(message, broken.Message);
        Assert.Equal(ExitCode.Difference, broken.ExitCode);
    }

    [Fact]
    public async Task The_newest_commit_vouches_for_itself()
    {
        using (var writer = await _files.WriterAsync(await _files.CreateAsync()))
            await writer.CommitAsync(Covered(0x12345), default);
        var newest = _files.PathOf(VaultPath.Commit(2));
        var text = await File.ReadAllTextAsync(newest);
        await File.WriteAllTextAsync(newest, text.Replace("0/12345", "0/12346", StringComparison.Ordinal));

        await Assert.ThrowsAsync<FormatViolationException>(_files.OpenAsync);
    }

    [Fact]
    public async Task A_torn_newest_commit_is_set_aside_by_the_next_epoch()
    {
        using (var writer = await _files.WriterAsync(await _files.CreateAsync()))
            await writer.CommitAsync(Covered(1), default);
        var torn = _files.PathOf(VaultPath.Commit(3));
        await File.WriteAllBytesAsync(torn, (await File.ReadAllBytesAsync(_files.PathOf(VaultPath.Commit(2))))[..100]);
        Assert.Equal(2, (await _files.OpenAsync()).State.Head);

        using (var writer = await _files.WriterAfterTheWaitAsync())
        {
            Assert.Equal(4, writer.State.Head);
            await writer.CommitAsync(Covered(2), default);
        }

        var state = (await _files.OpenAsync()).State;
        Assert.Equal((5, new Lsn(2)), (state.Head, state.CoveredTo!.Position.Lsn));
    }

    [Fact]
    public async Task Where_there_are_no_links_commits_are_created_in_place_and_still_only_once()
    {
        await _files.CreateAsync();
        var medium = DirectoryMedium.WithoutLinks(_files.Root);
        Assert.False(medium.CreatesWhole);
        using var old = await _files.WriterAsync(await BackupVault.OpenAsync(medium, default));
        await old.CommitAsync(Covered(1), default);
        using var taker = await _files.WriterElsewhereAsync();

        await Assert.ThrowsAsync<RefusedException>(() => old.CommitAsync(Covered(2), default));

        Assert.Equal((3, new Lsn(1)), ((await _files.OpenAsync()).State.Head, taker.State.CoveredTo!.Position.Lsn));
    }

    [Fact]
    public async Task A_writer_whose_commit_was_set_aside_while_it_wrote_does_not_call_it_done()
    {
        await _files.CreateAsync();
        var medium = DirectoryMedium.WithoutLinks(_files.Root);
        using var slow = await _files.WriterAsync(await BackupVault.OpenAsync(medium, default));
        // What another machine left that saw commit 2 torn, waited, and set it aside.
        await File.WriteAllTextAsync(_files.PathOf(VaultPath.Commit(2)), "{");
        using var taker = await _files.WriterElsewhereWithWaitAsync();
        Assert.Equal(3, taker.State.Head);
        File.Delete(_files.PathOf(VaultPath.Commit(2)));

        var refused = await Assert.ThrowsAsync<RefusedException>(() => slow.CommitAsync(Covered(1), default));

        Assert.Contains("process 2 on there", refused.Message);
    }

    static SegmentEntry Segment(string path) => Samples.Segment(path, [1]);
}
