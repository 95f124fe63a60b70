using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Tests.Segments;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace CrmBackup.Cdc.Tests.Settle;

public sealed class SettleJobTests : IDisposable
{
    static readonly RelationShape[] Shapes =
    [
        Given.Shape(1, 1, ("id", "bigint"), ("at", "timestamp with time zone")),
        Given.Shape(1, 2, ("id", "bigint"), ("at", "timestamp with time zone"), ("_op", "numeric(10,2)")),
        Given.Shape(2, 1, ("id", "uuid"), ("doc", "jsonb")) with { Identity = ReplicaIdentity.Full },
        Given.Shape(3, 1),
    ];

    readonly TemporaryVault _folder = new();
    readonly List<SegmentEntry> _logs = [];
    readonly List<ChangeEvent> _events = [];
    int _counter;

    [Theory]
    [InlineData(128, 128L << 20)]
    [InlineData(1, 128L << 20)]
    [InlineData(2, 1000)]
    public async Task Table_segments_hold_the_events_of_the_log_exactly(int openMax, long bufferedMax)
    {
        await _folder.CreateAsync();
        for (var i = 0; i < 4; i++)
            await WriteLogAsync(50);
        var content = await JobAsync(new SettleLimits { OpenSegmentsMax = openMax, BufferedBytesMax = bufferedMax });

        Assert.Equal(_logs.Select(log => log.Path), content.Remove);
        Assert.Equal(_logs[^1].Last, content.SettledTo);
        Assert.All(content.Add, segment => Assert.True(VaultPath.IsValid(segment.Path), segment.Path));
        var settled = new List<ChangeEvent>();
        foreach (var segment in content.Add)
        {
            using var file = SegmentFile.OpenVerified(_folder.Medium.OpenRead(segment.Path), segment);
            settled.AddRange(file.ReadEvents().Select(Given.Kept));
        }
        Given.Same(_events, [.. settled.OrderBy(change => change.CommitLsn).ThenBy(change => change.Ordinal)]);
        Assert.Empty(Temporary());
    }

    [Fact]
    public async Task The_archive_swaps_them_in_with_one_commit()
    {
        var vault = await _folder.CreateAsync();
        using var writer = await _folder.WriterAsync(vault);
        await WriteLogAsync(10);
        await writer.CommitAsync(new CommitContent { Add = _logs, Relations = Shapes }, default);
        var plan = SettlePlan.For(writer.State, new SettleOptions(), new SourceTime(0), atOnce: true)!;
        var content = await Job(new SettleLimits()).RunAsync(plan, writer.State.Shape, "00000001-job", default);
        var state = await writer.CommitAsync(content, default);
        Assert.DoesNotContain(state.Segments.Values, segment => segment.Kind == SegmentKind.Log);
        Assert.Equal(_events.Count, state.Segments.Values.Sum(segment => segment.Rows));
        Assert.Equal(plan.To, state.SettledTo);
    }

    [Fact]
    public async Task A_damaged_log_segment_settles_nothing_and_leaves_nothing_behind()
    {
        await _folder.CreateAsync();
        await WriteLogAsync(10);
        await WriteLogAsync(10);
        var path = _folder.PathOf(_logs[1].Path);
        var bytes = await File.ReadAllBytesAsync(path);
        bytes[100] ^= 1;
        await File.WriteAllBytesAsync(path, bytes);
        await Assert.ThrowsAsync<DifferenceException>(() => JobAsync(new SettleLimits()));
        Assert.Empty(Temporary());
        Assert.False(Directory.Exists(_folder.PathOf("tables")));
    }

    public void Dispose() => _folder.Dispose();

    SettleJob Job(SettleLimits limits) => new(_folder.Medium, TemporaryVault.Identity, limits, NullLogger.Instance);

    Task<CommitContent> JobAsync(SettleLimits limits) =>
        Job(limits).RunAsync(new SettlePlan(1, _logs, _logs[^1].Last), ShapeOf, "00000001-job", default);

    static RelationShape ShapeOf(int relation, int version) => Shapes.First(shape => shape.Number == relation && shape.Version == version);

    string[] Temporary() => Directory.GetFiles(_folder.PathOf("tmp"), "settle*");

    async Task WriteLogAsync(int transactions)
    {
        var log = new LogSegmentBuilder();
        for (var t = 0; t < transactions; t++)
        {
            var n = _events.Count + log.Rows;
            var first = log.Rows;
            var ordinal = 0;
            void Add(EventKind kind, int relation, int shape, byte[]? old, byte[]? @new, OldTupleKind oldKind = OldTupleKind.Key) =>
                log.Add(kind, relation, shape, (ulong)n, ordinal++, old is null ? OldTupleKind.None : oldKind, old, @new);
            Add(EventKind.Insert, 1, 1, null, Given.Tuple($"{n}", n % 3 == 0 ? "infinity" : "2026-11-22 10:00:00+00"));
            Add(EventKind.Update, 1, 2, Given.Tuple($"{n}", null, null), Given.Tuple($"{-n}", Given.Unchanged, "1.50"));
            var document = Given.Tuple("ffeeddcc-bbaa-9988-7766-554433221100", $"{{\"n\": {n}}}");
            Add(EventKind.Update, 2, 1, document, document, OldTupleKind.Full);
            Add(EventKind.Delete, 2, 1, document, null, OldTupleKind.Full);
            Add(EventKind.Insert, 3, 1, null, Given.Tuple());
            Add(t % 2 == 0 ? EventKind.Truncate : EventKind.Rewrite, 3, 1, null, null);
            Add(EventKind.Message, 0, 0, null, Given.Tuple("crmbackup", "{}"));
            log.CompleteTransaction(first, new Lsn((ulong)n * 8 + 8), new SourceTime(1_795_000_000_000_000 + n));
        }
        _events.AddRange(Enumerable.Range(0, log.Rows).Select(row => Given.Kept(log[row])));
        var path = VaultPath.Log(new DateOnly(2026, 11, 22), 1, ++_counter, log[0].CommitLsn);
        var temporary = _folder.Medium.NewTemporaryPath("log");
        await using (var output = File.Create(temporary))
            _logs.Add(await LogSegmentFile.WriteAsync(
                output, path, log, log.Rows, Given.Origin with { Timeline = 1 }, ShapeOf, default));
        await _folder.Medium.PublishAsync(temporary, path, default);
    }
}
