using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class FoldModelTests
{
    static readonly FoldOptions InMemory = new();
    static readonly FoldOptions Spilled = new() { MemoryBytes = 1500, SpillFolder = Directory.CreateTempSubdirectory("crmbackup-fold-").FullName };

    public static TheoryData<int> Seeds(int count)
    {
        var seeds = new TheoryData<int>();
        for (var seed = 1; seed <= count; seed++)
            seeds.Add(seed);
        return seeds;
    }

    [Theory, MemberData(nameof(Seeds), 60)]
    public async Task A_chunked_base_under_concurrent_writes_folds_to_the_truth_at_every_commit(int seed)
    {
        var world = new FoldWorld(seed, keyed: true);
        world.Steps(200);
        await ReadChunkedBaseAsync(world, seed);
        var from = world.Now;
        world.Steps(200, ddl: seed % 3 == 0, swaps: seed % 2 == 0);
        world.Quiesce();
        await CheckAsync(world, from, seed);
    }

    [Theory, MemberData(nameof(Seeds), 30)]
    public async Task A_table_without_a_key_folds_as_a_multiset(int seed)
    {
        var world = new FoldWorld(seed, keyed: false);
        world.Steps(150);
        world.ReadChunk(0, FoldWorld.Pages);
        world.Quiesce();
        var from = world.Now;
        world.Steps(250, ddl: seed % 2 == 0);
        world.Quiesce();
        await CheckAsync(world, from, seed);
    }

    [Theory, MemberData(nameof(Seeds), 30)]
    public async Task A_table_whose_identity_changes_on_the_way_is_keyed_anew(int seed)
    {
        var world = new FoldWorld(seed, keyed: true) { IdentityChanges = true };
        world.Steps(150);
        await ReadChunkedBaseAsync(world, seed);
        var from = world.Now;
        world.Steps(300, ddl: true);
        world.Quiesce();
        await CheckAsync(world, from, seed);
    }

    [Theory, MemberData(nameof(Seeds), 20)]
    public async Task A_table_born_in_the_stream_needs_no_base(int seed)
    {
        var world = new FoldWorld(seed, keyed: seed % 2 == 0);
        world.Steps(300, ddl: true, swaps: true);
        world.Quiesce();
        await CheckAsync(world, new Lsn(1), seed);
    }

    [Theory, MemberData(nameof(Seeds), 30)]
    public async Task A_fold_can_be_cut_by_what_a_snapshot_sees(int seed)
    {
        var world = new FoldWorld(seed, keyed: true);
        world.Steps(200);
        await ReadChunkedBaseAsync(world, seed);
        for (var i = 0; i < 5; i++)
        {
            world.Steps(30);
            var snapshot = world.TakeSnapshot();
            var truth = world.TruthSeenBy(snapshot, world.Shape);
            world.Steps(30);
            // What the snapshot sees may still be on its way into the stream.
            world.Quiesce();
            var (rows, _) = await FoldAsync(world.Input(world.Shape, (_, xid) => snapshot.Sees(xid)), Options(seed));
            Assert.Equal(truth, rows);
        }
    }

    static Task ReadChunkedBaseAsync(FoldWorld world, int seed)
    {
        var chunks = 1 + seed % 4;
        for (var chunk = 0; chunk < chunks; chunk++)
        {
            world.ReadChunk(chunk * FoldWorld.Pages / chunks, chunk == chunks - 1 ? int.MaxValue : (chunk + 1) * FoldWorld.Pages / chunks);
            world.Steps(40);
        }
        if (chunks > 1)
            world.ReadRepairChunk();
        // Coverage begins when all that the newest snapshot saw is passed.
        world.Quiesce();
        return Task.CompletedTask;
    }

    static async Task CheckAsync(FoldWorld world, Lsn from, int seed)
    {
        var ends = world.Events.Select(change => change.CommitLsn).Where(end => end >= from).Distinct().ToList();
        foreach (var at in ends.Where((_, index) => index % 7 == 0).Append(world.Now))
        {
            var target = world.Shapes.Last(shape => shape.Since <= at);
            var truth = world.TruthAt(at, target);
            foreach (var options in new[] { InMemory, Spilled })
            {
                var (rows, result) = await FoldAsync(world.Input(target, (end, _) => end <= at), options);
                Assert.Equal(truth, rows);
                Assert.Equal(HashOf(truth).Value, result.Hash.Value);
            }
        }
        Assert.Empty(Directory.GetFiles(Spilled.SpillFolder, "*.spill"));
    }

    static FoldOptions Options(int seed) => seed % 2 == 0 ? InMemory : Spilled;

    static async Task<(List<string> Rows, FoldResult Result)> FoldAsync(FoldInput input, FoldOptions options)
    {
        Directory.CreateDirectory(options.SpillFolder);
        var rows = new List<string>();
        var result = await RelationFold.RunAsync(input, options, (batch, _) =>
        {
            for (var i = 0; i < batch.Count; i++)
                rows.Add(Convert.ToHexString(batch[i]));
            return ValueTask.CompletedTask;
        }, CancellationToken.None);
        rows.Sort(StringComparer.Ordinal);
        return (rows, result);
    }

    static TableHash HashOf(List<string> rows)
    {
        using var hasher = new RowHasher();
        var hash = new TableHash();
        var digest = new byte[32];
        foreach (var row in rows)
        {
            hasher.HashRow(Convert.FromHexString(row), digest);
            hash.Add(digest);
        }
        return hash;
    }
}
