using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class RestorePlanTests
{
    static SegmentEntry Events(string path, SegmentKind kind, int relation, ulong first, ulong last, ulong maxXid, uint timeline = 1) =>
        new(path, kind, relation, kind == SegmentKind.Log ? 0 : 1, 0, 0, 100, 1, Sha256.Zero, Sha256.Zero,
            new Lsn(first), new Lsn(last), null, null, maxXid, timeline);

    [Fact]
    public void Only_segments_that_can_hold_something_to_replay_are_read()
    {
        var state = new PlanVault().Relation(PlanVault.Shape(1, 90)).Base(1, 100, snapshot: "700:705:701").Covered(300)
            .Commit(new CommitContent
            {
                Add =
                [
                    Events("seen-by-the-oldest-snapshot", SegmentKind.Changes, 1, 50, 95, 699),
                    Events("needed", SegmentKind.Changes, 1, 60, 120, 701),
                    Events("of-another-table", SegmentKind.Changes, 2, 100, 120, 701),
                    Events("of-another-branch", SegmentKind.Changes, 1, 100, 120, 701, timeline: 2),
                    Events("settled-already", SegmentKind.Log, 0, 100, 120, 701),
                    Events("log", SegmentKind.Log, 0, 121, 200, 710),
                    Events("after-the-target", SegmentKind.Log, 0, 201, 300, 711),
                ],
                SettledTo = new Lsn(120),
            }).State;

        var plan = RestorePlan.For(state, PlanVault.At(200));

        Assert.Equal(["needed", "log"], plan.Relations.Single().Events.Select(segment => segment.Path));
        Assert.Equal(200, plan.Bytes);
    }

    [Fact]
    public void The_newest_complete_base_before_the_target_is_taken()
    {
        var state = new PlanVault().Relation(PlanVault.Shape(1, 90)).Base(1, 100).Base(1, 150, id: 2).Base(1, 250, id: 3).Covered(300).State;

        Assert.Equal(2, RestorePlan.For(state, PlanVault.At(200)).Relations.Single().Base.BaseId);
    }

    [Fact]
    public void A_base_that_lacks_rows_is_a_violation()
    {
        var state = new PlanVault().Relation(PlanVault.Shape(1, 90)).Covered(300).Commit(new CommitContent
        {
            BaseChunks = [new BaseChunk(1, 1, 0, "10:10:", 1, 0, null, false, Rows: 5)],
            Bases = [new BaseComplete(1, 1, PlanVault.At(100))],
        }).State;

        Assert.Throws<FormatViolationException>(() => RestorePlan.For(state, PlanVault.At(200)));
    }

    [Fact]
    public void A_sequence_is_taken_from_the_first_sample_after_unless_it_had_stood_still()
    {
        static SequenceSample Sample(ulong at, params (string Name, string Value)[] moved) => new(PlanVault.At(at),
            [.. moved.Select(one => new SequenceState("public", one.Name, one.Value, true))]);
        var vault = new PlanVault().Relation(PlanVault.Shape(1, 90)).Base(1, 100).Covered(300).Commit(new CommitContent
        {
            Sequences = [Sample(110, ("a", "1"), ("b", "1"), ("c", "1")), Sample(210, ("a", "2")), Sample(220, ("a", "3"), ("b", "9"))],
        });

        var values = RestorePlan.For(vault.State, PlanVault.At(200)).Sequences.ToDictionary(one => one.State.Name);

        Assert.Equal(("2", false), (values["a"].State.LastValue, values["a"].Raise));
        Assert.Equal("1", values["b"].State.LastValue);
        Assert.Equal("1", values["c"].State.LastValue);
        Assert.All(RestorePlan.For(vault.State, PlanVault.At(250)).Sequences, one => Assert.True(one.Raise));
        Assert.Equal("9", RestorePlan.For(vault.State, PlanVault.At(250)).Sequences.Single(one => one.State.Name == "b").State.LastValue);
    }

    [Fact]
    public void A_target_between_two_dumps_prefers_the_one_whose_tables_have_its_columns()
    {
        var (old, fresh) = (new Sha256(new string('a', 64)), new Sha256(new string('b', 64)));
        var vault = new PlanVault().Relation(PlanVault.Shape(1, 90)).Base(1, 100).Relation(PlanVault.Shape(1, 150, 2)).Covered(300)
            .Commit(new CommitContent
            {
                Schemas = [new SchemaVersion(old, PlanVault.At(100), PlanVault.At(150)), new SchemaVersion(fresh, PlanVault.At(290), null)],
            });

        Assert.Equal(new SchemaPlan(vault.State.Schemas[0], Exact: true, SameShapes: true), RestorePlan.For(vault.State, PlanVault.At(140)).Schema);
        // Nearer to the old dump, but a column changed at 150.
        Assert.Equal(new SchemaPlan(vault.State.Schemas[1], Exact: false, SameShapes: true), RestorePlan.For(vault.State, PlanVault.At(160)).Schema);
        var gap = vault.Gap(GapScope.Schema, 0, 120).State;
        Assert.False(RestorePlan.For(gap, PlanVault.At(140)).Schema!.Exact);
    }

    [Fact]
    public void Described_commands_after_a_dump_keep_the_schema_exact_until_a_gap()
    {
        var ended = new SchemaVersion(Sha256.Zero, PlanVault.At(100), PlanVault.At(150), new Lsn(100));
        var vault = new PlanVault().Relation(PlanVault.Shape(1, 90)).Base(1, 100).Commit(new CommitContent { Schemas = [ended] }).Covered(300);

        Assert.Equal(new SchemaPlan(ended, Exact: true, SameShapes: true), RestorePlan.For(vault.State, PlanVault.At(120)).Schema);
        Assert.Equal(new SchemaPlan(ended, Exact: true, SameShapes: true, Described: true), RestorePlan.For(vault.State, PlanVault.At(200)).Schema);
        var gap = vault.Gap(GapScope.Schema, 0, 180).State;
        Assert.True(RestorePlan.For(gap, PlanVault.At(180)).Schema!.Exact);
        Assert.False(RestorePlan.For(gap, PlanVault.At(200)).Schema!.Exact);
        var undescribed = new PlanVault().Relation(PlanVault.Shape(1, 90)).Base(1, 100)
            .Commit(new CommitContent { Schemas = [ended with { DescribedFrom = null }] }).Covered(300).State;
        Assert.False(RestorePlan.For(undescribed, PlanVault.At(200)).Schema!.Exact);
    }
}
