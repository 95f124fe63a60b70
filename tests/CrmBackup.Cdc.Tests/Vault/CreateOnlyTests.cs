using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests.Segments;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>Whoever steals the archive's credentials must not be able to destroy what it wrote: create and read are all it needs.</summary>
public sealed class CreateOnlyTests : IDisposable
{
    readonly TemporaryVault _files = new();
    readonly Refusing _disk = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task The_archives_work_needs_neither_overwrite_nor_rename_nor_delete()
    {
        await _files.CreateAsync();
        var medium = new DirectoryMedium(_files.Root, _disk, createOnly: true);
        var vault = await BackupVault.OpenAsync(medium, default);
        using (var writer = await VaultWriter.OpenAsync(vault, _files.Clock, "here", 1, default))
        {
            var shape = Given.Shape(1, 1, ("id", "bigint"), ("name", "text"));
            var log = await LogAsync(medium, writer, shape);
            var schema = await new SchemaStore(medium).PutAsync(new Dictionary<string, byte[]> { ["pre-data.sql"] = [1] }, default);
            await writer.CommitAsync(new CommitContent
            {
                Add = [log],
                Relations = [shape],
                Schemas = [new SchemaVersion(schema, Samples.At(1), null)],
                // Heavy: a checkpoint follows.
                Settings = new Dictionary<string, string> { ["filler"] = new('x', 300_000) },
            }, default);
            var job = new SettleJob(medium, TemporaryVault.Identity, new SettleLimits(), NullLogger.Instance);
            await writer.CommitAsync(await job.RunAsync(new SettlePlan(1, [log], log.Last), (_, _) => shape, "00000001-job", default), default);
            var parity = ParityPlan.For(writer.State, new ParityOptions { Files = 1 }, atOnce: true)!;
            await writer.CommitAsync(await new ParityJob(medium, TemporaryVault.Identity, NullLogger.Instance).RunAsync(parity, writer.State, "00000001-parity", default), default);
            await ViewsFile.WriteAsync(medium, writer.State.Head, "CREATE VIEW x AS SELECT 1;\n", default);
        }
        using (await VaultWriter.OpenAsync(await BackupVault.OpenAsync(medium, default), _files.Clock, "here", 2, default))
        {
        }
        Assert.Equal(0, _disk.Refused);
        Assert.Empty(Directory.GetFiles(_files.PathOf("tmp")));
        var report = await VaultVerification.RunAsync(new DirectoryMedium(_files.Root));
        Assert.Empty(report.Damage);
        Assert.Equal((1, 1, 2, 2), (report.SegmentsLive, report.Checkpoints, report.Writers, report.ParityFiles));
        // Prune has other credentials; with these it is refused, and says so.
        _files.Clock.Advance(TimeSpan.FromDays(400));
        var later = new FakeTimeProvider(DateTimeOffset.UnixEpoch.AddYears(80));
        await Assert.ThrowsAsync<MediumException>(() => VaultPrune.RunAsync(medium, new PruneOptions(), later, default));
        Assert.Single((await VaultPrune.RunAsync(new DirectoryMedium(_files.Root), new PruneOptions(), later, default)).Removed, file => file.Path.StartsWith("log/", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_request_to_settle_is_taken_once_and_answered_without_deleting_it()
    {
        var vault = await _files.CreateAsync();
        using var writer = await _files.WriterAsync(vault);
        var medium = new DirectoryMedium(_files.Root, _disk, createOnly: true);
        var asking = SettleRequest.AskAsync(await _files.OpenAsync(), TimeSpan.FromMinutes(5), TimeSpan.FromMinutes(5), TimeProvider.System, default);
        while (!await SettleRequest.TakeAsync(medium, default))
            await Task.Delay(20);

        Assert.True(await asking);
        Assert.False(await SettleRequest.TakeAsync(medium, default));
    }

    static async Task<SegmentEntry> LogAsync(DirectoryMedium medium, VaultWriter writer, RelationShape shape)
    {
        var log = new LogSegmentBuilder();
        log.Add(EventKind.Insert, 1, 1, 700, 0, OldTupleKind.None, default, Given.Tuple("1", "Ada"));
        log.CompleteTransaction(0, new Lsn(0x100), new SourceTime(1_795_000_000_000_000));
        var path = writer.NextLogPath(new DateOnly(2026, 11, 22), new Lsn(0x100));
        return await SegmentPlacing.PlaceAsync(medium, path, output =>
            LogSegmentFile.WriteAsync(output, path, log, 1, Given.Origin with { Timeline = 1 }, (_, _) => shape, default), default);
    }

    /// <summary>A medium that grants what an object store grants with put-if-absent and get alone.</summary>
    sealed class Refusing : DiskCalls
    {
        public int Refused { get; private set; }

        public override void Delete(string path) => Refuse(path);

        public override void Move(string from, string to) => Refuse(to);

        public override int Link(string existing, string name)
        {
            Refused++;
            return 1;
        }

        public override IDisposable OpenLocked(string path)
        {
            Refuse(path);
            throw new UnauthorizedAccessException();
        }

        void Refuse(string path)
        {
            Refused++;
            throw new UnauthorizedAccessException($"not granted: {path}");
        }
    }
}
