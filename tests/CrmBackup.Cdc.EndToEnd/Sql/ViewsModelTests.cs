using System.Text;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Tests;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd.Sql;

/// <summary>DuckDB with the printed views against a naive database with MVCC: chunked bases, key changes, unchanged values,
/// schema changes, commit times that run backwards.</summary>
public sealed class ViewsModelTests
{
    [Theory, MemberData(nameof(Seeds))]
    public async Task Views_tell_the_truth_at_every_commit(int seed)
    {
        var world = new FoldWorld(seed, keyed: seed % 3 != 0) { IdentityChanges = seed % 4 == 0 };
        world.Steps(150);
        var from = ReadBase(world, seed);
        world.Steps(200, ddl: seed % 2 == 0);
        world.Quiesce();
        using var vault = await WriteAsync(world, from);

        var ends = world.Events.Select(change => change.CommitLsn).Where(end => end >= from).Distinct().ToList();
        foreach (var at in ends.Where((_, index) => index % 9 == 0).Append(world.Now))
        {
            var target = world.Shapes.Last(shape => shape.Since <= at);
            Assert.Equal(Truth(world, at), vault.Query($"FROM public.t_at('{at}')"));
            Assert.Equal(
                target.Columns.Select(column => column.Name),
                vault.Columns($"FROM public.t_at('{at}')").Select(column => column.Split(' ')[0]).SkipLast(1));
        }
        Assert.Equal(Truth(world, world.Now), vault.Query("FROM public.t"));
        foreach (var time in new[] { 3, 10, 100, 101, 500 }.Select(i => Time(ends[i % ends.Count])))
        {
            var stop = world.Events.FirstOrDefault(change => Time(change.CommitLsn) > time, world.Events[^1] with { CommitLsn = new Lsn(ulong.MaxValue) });
            var at = new Lsn(Math.Min(stop.CommitLsn.Value - 1, world.Now.Value));
            if (at >= from)
                Assert.Equal(Truth(world, at), vault.Query($"FROM public.t_as_of('{time}')"));
            else
                Assert.ThrowsAny<Exception>(() => vault.Query($"FROM public.t_as_of('{time}')"));
        }
        Assert.Equal($"{world.Events.Count}", vault.Query("SELECT count(*) FROM public.t_history").Single());
    }

    public static TheoryData<int> Seeds() => [1, 2, 3, 4, 5, 6, 8, 12];

    static Lsn ReadBase(FoldWorld world, int seed)
    {
        var chunks = world.Shape.HasKey ? 1 + seed % 4 : 1;
        for (var chunk = 0; chunk < chunks; chunk++)
        {
            world.ReadChunk(chunk * FoldWorld.Pages / chunks, chunk == chunks - 1 ? int.MaxValue : (chunk + 1) * FoldWorld.Pages / chunks);
            if (chunks > 1)
                world.Steps(40);
        }
        if (chunks > 1)
            world.ReadRepairChunk();
        world.Quiesce();
        return world.Now;
    }

    /// <summary>Every fifth commit is ten seconds behind its neighbours.</summary>
    static SourceTime Time(Lsn commit) =>
        new(AnalystsVault.Start.UnixMicroseconds + (long)commit.Value * 100_000 - (commit.Value % 5 == 0 ? 10_000_000 : 0));

    static async Task<AnalystsVault> WriteAsync(FoldWorld world, Lsn from)
    {
        var vault = await AnalystsVault.CreateAsync();
        await vault.CommitAsync(new CommitContent { Relations = world.Shapes });
        await vault.BaseAsync(world.Shapes.First(shape => shape.Version == world.Chunks[0].Shape), 1, from,
            [.. world.Chunks.Select(chunk => (chunk.Snapshot.ToString(), (IReadOnlyList<byte[]>)chunk.Rows))]);
        var events = world.Events.Select(change => change with { CommitTime = Time(change.CommitLsn) }).ToList();
        await vault.LogAsync(events, world.Shapes, world.Now, Time(world.Now));
        await vault.SettleAsync();
        vault.OpenViews();
        return vault;
    }

    static List<string> Truth(FoldWorld world, Lsn at)
    {
        var target = world.Shapes.Last(shape => shape.Since <= at);
        var rows = world.TruthAt(at, target).Select(hex => string.Join(" | ", Texts(Convert.FromHexString(hex)))).ToList();
        rows.Sort(StringComparer.Ordinal);
        return rows;
    }

    static IEnumerable<string> Texts(byte[] tuple)
    {
        var texts = new List<string>();
        var reader = new TupleReader(tuple);
        for (var i = 0; i < reader.Count; i++)
            texts.Add(reader.Next(out var text) == ColumnState.Text ? Encoding.UTF8.GetString(text) : "∅");
        return texts;
    }
}
