using System.Text.Json;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace CrmBackup.Cdc.Tests.Parity;

public sealed class ParityTests
{
    static readonly ParityOptions Options = new() { Files = 2, Group = 4 };

    [Fact]
    public async Task Everything_that_is_settled_is_covered_and_the_documents_follow_their_schemas()
    {
        using var vault = await ProtectedVault.OfRealSegmentsAsync(parities: 3);
        var report = await VaultVerification.RunAsync(vault.Medium);

        Assert.Empty(report.Damage);
        Assert.Empty(report.Orphans);
        // The logs that are not settled yet.
        Assert.Equal((4, 5), (report.ParityFiles, report.WithoutParity));
        Assert.Null(ParityPlan.For(vault.State, Options, atOnce: true));
        foreach (var (path, bytes) in vault.Files().Where(file => file.Key.StartsWith("commits/", StringComparison.Ordinal)))
            Assert.Empty(JsonSchemaFile.Load("commit.schema.json").Problems(bytes.AsSpan(0, bytes.AsSpan().IndexOf((byte)'\n'))));
        foreach (var (path, bytes) in vault.Files().Where(file => file.Key.EndsWith(VaultPath.ParityExtension, StringComparison.Ordinal)))
            Assert.Empty(JsonSchemaFile.Load("parity.schema.json").Problems(bytes.AsSpan(16, BitConverter.ToInt32(bytes, 12))));
        using var state = JsonDocument.Parse(JsonSerializer.Serialize(new Checkpoint(VaultFormat.Current, Sha256.Zero, vault.State), CheckpointJson.Default.Checkpoint));
        Assert.Empty(JsonSchemaFile.Load("checkpoint.schema.json").Problems(state.RootElement));
    }

    [Fact]
    public void A_group_waits_until_it_is_full_unless_it_is_wanted_at_once()
    {
        var state = State(3);
        Assert.Null(ParityPlan.For(state, Options with { Files = 0 }, atOnce: true));
        Assert.Null(ParityPlan.For(state, Options, atOnce: false));
        Assert.Equal(3, ParityPlan.For(state, Options, atOnce: true)!.Members.Count);
        // The largest first: a group pads its members to the longest.
        Assert.Equal([9, 8, 7, 6], ParityPlan.For(State(9), Options, atOnce: false)!.Members.Select(member => member.Bytes));
        var many = State(9) with { Head = 20 };
        Assert.Equal((3, 1L), (ParityPlan.For(many, Options, atOnce: false)!.Members.Count, ParityPlan.For(many, Options, atOnce: false)!.PackFrom));
    }

    [Fact]
    public async Task A_group_whose_member_left_the_live_set_mends_as_before_and_then_gives_way_to_another()
    {
        using var vault = await ProtectedVault.OfRandomSegmentsAsync(6, 5_000, Options);
        var group = vault.State.ParityGroups.Values.First(group => group.Members.Count == 4);
        var gone = group.Members[0].Path;
        var writer = await BackupVault.OpenAsync(vault.Medium, default);
        using (var open = await VaultWriter.OpenAsync(writer, TimeProvider.System, "here", 1, default))
            await open.CommitAsync(new CommitContent { Remove = [gone] }, default);
        var later = new FakeTimeProvider(DateTimeOffset.UtcNow.AddDays(30));

        // Prune leaves what a group that counts is made of.
        Assert.Empty((await VaultPrune.RunAsync(vault.Medium, new PruneOptions(), later, default)).Removed);
        vault.Put(group.Members[1].Path, null);
        vault.Put(group.Members[2].Path, null);
        Assert.Empty((await vault.RepairAsync()).After.Damage);

        await vault.ProtectAsync(Options);
        Assert.DoesNotContain(group.Id, vault.State.ParityGroups.Keys);
        Assert.Equal(0, ParityPlan.Uncovered(vault.State));
        var pruned = (await VaultPrune.RunAsync(vault.Medium, new PruneOptions(), later, default)).Removed.Select(file => file.Path).ToList();
        Assert.Equal([gone, .. group.Files.Select(file => file.Path)], pruned.OrderBy(path => path != gone).ThenBy(path => path, StringComparer.Ordinal));
        Assert.Empty((await VaultVerification.RunAsync(vault.Medium)).Damage);
    }

    [Fact]
    public async Task No_parity_is_made_of_what_is_damaged_and_the_loop_goes_on()
    {
        using var vault = await ProtectedVault.OfRandomSegmentsAsync(6, 5_000, new ParityOptions());
        var path = vault.State.Segments.Keys.Order(StringComparer.Ordinal).Last();
        vault.Put(path, [1]);
        var opened = await BackupVault.OpenAsync(vault.Medium, default);
        var job = new ParityJob(vault.Medium, opened.Identity, NullLogger.Instance);
        var refused = await Assert.ThrowsAsync<DifferenceException>(() => job.RunAsync(ParityPlan.For(opened.State, Options, atOnce: true)!, opened.State, "x", default));
        Assert.Contains(path, refused.Message, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(vault.PathOf("tmp"), "parity*"));

        var commits = 0;
        await new ParityLoop(opened, job, (_, _) => Task.FromResult(commits++), Options, TimeProvider.System, NullLogger<ParityLoop>.Instance).StepAsync(atOnce: true, default);
        Assert.Equal(0, commits);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Heads_and_packs_that_an_enemy_wrote_are_read_or_refused(int kind)
    {
        var members = new[] { new ParityFile("tables/000001-t/base/2026-11-22/a.parquet", 100, Sha256.Zero) };
        var group = ParityDescription.Of(Guid.Empty, "x", 2, members);
        byte[][] corpus = kind == 0
            ? [new ParityHead(group, 1, new byte[group.ChecksLength]).ToBytes()]
            : [PackFile.Encode([("vault.json", [1, 2, 3]), ("commits/00000000/000000000001.json", new byte[500])])];
        for (var seed = 0; seed < 3_000; seed++)
        {
            var bytes = Hostile.Mutation.Of(new Random(seed), corpus);
            if (kind == 0 && bytes.Length > 32)
                Sha256.Of(bytes.AsSpan(..^32)).ToBytes().CopyTo(bytes.AsSpan(^32..));
            var before = GC.GetAllocatedBytesForCurrentThread();
            _ = kind == 0 ? (object?)ParityHead.TryRead(new MemoryStream(bytes)) : PackFile.TryDecode(bytes);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 << 20);
        }
    }

    static VaultState State(int segments)
    {
        var state = VaultState.Empty;
        for (var i = 1; i <= segments; i++)
        {
            var segment = Samples.Segment($"tables/000001-t/changes/2026-11-22/{i}.parquet", new byte[i], SegmentKind.Changes);
            state = state with { Segments = state.Segments.Add(segment.Path, segment) };
        }
        return state;
    }
}
