using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class CoverageTests
{
    [Fact]
    public void Coverage_begins_when_the_last_base_is_complete()
    {
        var state = new PlanVault().Relation(PlanVault.Shape(1, 100), PlanVault.Shape(2, 100))
            .Base(1, 120).Base(2, 150).Covered(200).State;

        var coverage = Coverage.Of(state);

        Assert.Equal([new CoverageRange(PlanVault.At(150), PlanVault.At(200), null, null)], coverage.Database);
        Assert.False(coverage.Holds(PlanVault.At(149)));
        Assert.True(coverage.Relations[0].Holds(PlanVault.At(130)));
    }

    [Fact]
    public void Nothing_is_covered_before_the_first_relation_was_known()
    {
        var state = new PlanVault().Relation(PlanVault.Shape(1, 100)).Base(1, 100).Covered(200).State;

        Assert.False(Coverage.Of(state).Holds(PlanVault.At(50)));
    }

    [Fact]
    public void Where_no_listing_has_told_the_tables_nothing_is_covered_whatever_the_stream_made()
    {
        var unlisted = new CommitContent { Settings = new Dictionary<string, string> { [Coverage.UnlistedFrom] = "0/64" } };
        var made = new PlanVault().Commit(unlisted).Schema(100).Relation(PlanVault.Shape(1, 120)).Base(1, 120).Covered(140).State;
        Assert.Empty(Coverage.Of(made).Database);

        // Another gap came first: the stretch has an end, and was never listed.
        var never = new CommitContent { Gaps = [new Gap(GapScope.Database, 0, PlanVault.At(100), PlanVault.At(140), "a test", DateTimeOffset.UnixEpoch)] };
        var again = new PlanVault(made).Commit(never).Gap(GapScope.Database, 0, 140)
            .Commit(new CommitContent { Settings = new Dictionary<string, string> { [Coverage.UnlistedFrom] = "" } })
            .Relation(PlanVault.Shape(2, 161)).Base(1, 170, id: 2).Base(2, 170).Covered(200).State;
        Assert.Equal([new CoverageRange(PlanVault.At(170), PlanVault.At(200), null, null)], Coverage.Of(again).Database);
    }

    /// <summary>Timeline 2 left timeline 1 at 130; the vault has it up to 160.</summary>
    [Theory]
    [InlineData(145, false)]
    [InlineData(120, true)]
    [InlineData(170, true)]
    public void LSNs_of_two_timelines_are_covered_on_neither_from_where_a_table_changed_there(ulong changed, bool covered)
    {
        var left = Branches.Setting(2, 1, new Lsn(130));
        var state = new PlanVault().Relation(PlanVault.Shape(1, 100)).Base(1, 100).Gap(GapScope.Database, 0, 160)
            .Commit(new CommitContent { Settings = new Dictionary<string, string> { [left.Key] = left.Value } })
            .Relation(PlanVault.Shape(1, changed, version: 2)).Base(1, 140, timeline: 2, id: 2).Covered(200, timeline: 2).State;

        var coverage = Coverage.Of(state);

        Assert.True(coverage.Holds(PlanVault.At(140)));
        Assert.True(coverage.Holds(PlanVault.At(140, 2)));
        Assert.Equal(covered, coverage.Holds(PlanVault.At(150)));
        Assert.Equal(covered, coverage.Holds(PlanVault.At(150, 2)));
        Assert.True(coverage.Holds(PlanVault.At(161, 2)));
    }

    [Fact]
    public void A_gap_of_one_table_interrupts_the_database_until_that_table_has_a_new_base()
    {
        var state = new PlanVault().Relation(PlanVault.Shape(1, 100), PlanVault.Shape(2, 100)).Base(1, 100).Base(2, 100)
            .Gap(GapScope.Relation, 2, 140).Base(2, 160, id: 2).Covered(200).State;

        var coverage = Coverage.Of(state);

        Assert.True(coverage.Holds(PlanVault.At(140)));
        Assert.False(coverage.Holds(PlanVault.At(141)));
        Assert.False(coverage.Holds(PlanVault.At(159)));
        Assert.True(coverage.Holds(PlanVault.At(160)));
        Assert.True(Coverage.Of(state, new HashSet<int> { 1 }).Holds(PlanVault.At(150)));
        Assert.Equal((PlanVault.At(140), PlanVault.At(160)), coverage.Nearest(PlanVault.At(150)));
    }

    [Fact]
    public void A_gap_that_is_still_open_ends_coverage_and_is_named()
    {
        var state = new PlanVault().Relation(PlanVault.Shape(1, 100)).Base(1, 100).Gap(GapScope.Database, 0, 140).Covered(200).State;

        var coverage = Coverage.Of(state);

        Assert.Equal(PlanVault.At(140), coverage.Latest);
        Assert.Contains(coverage.Reduced, line => line.Contains("public.t1: not covered after"));
        Assert.Contains(coverage.Reduced, line => line.Contains("gap of the whole database"));
    }

    [Fact]
    public void Between_a_database_that_was_replaced_and_the_first_base_of_the_new_one_nothing_is_covered()
    {
        // In place: the old tables end where the new stream opens, the new ones are known a little later, and based after that.
        var state = new PlanVault().Relation(PlanVault.Shape(1, 100)).Base(1, 100).Gap(GapScope.Database, 0, 140)
            .Relation(PlanVault.Shape(1, 150, version: 2, dropped: true)).Schema(150).Covered(170).State;
        Assert.Equal(PlanVault.At(140), Coverage.Of(state).Latest);

        state = new PlanVault(state).Relation(PlanVault.Shape(2, 160)).Covered(180).State;
        Assert.Equal(PlanVault.At(140), Coverage.Of(state).Latest);

        state = new PlanVault(state).Base(2, 165).Covered(200).State;
        Assert.Equal([(100UL, 140UL), (165, 200)], Coverage.Of(state).Database.Select(range => (range.From.Lsn.Value, range.UpTo.Lsn.Value)));
    }

    [Fact]
    public void A_table_born_later_is_no_hole_before_its_birth_and_none_after_its_end()
    {
        var state = new PlanVault().Relation(PlanVault.Shape(1, 100)).Base(1, 100)
            .Relation(PlanVault.Shape(2, 130)).Base(2, 130).Relation(PlanVault.Shape(2, 160, 2, dropped: true)).Covered(200).State;

        Assert.Equal([new CoverageRange(PlanVault.At(100), PlanVault.At(200), null, null)], Coverage.Of(state).Database);
    }

    [Fact]
    public void A_failover_ends_the_old_branch_at_its_switch_point()
    {
        var state = new PlanVault().Relation(PlanVault.Shape(1, 100)).Base(1, 100).Gap(GapScope.Database, 0, 150)
            .Base(1, 170, timeline: 2, id: 2).Covered(200, timeline: 2).State;

        var coverage = Coverage.Of(state);

        Assert.Equal([(PlanVault.At(100), PlanVault.At(150)), (PlanVault.At(170, 2), PlanVault.At(200, 2))],
            coverage.Database.Select(range => (range.From, range.UpTo)));
        Assert.False(coverage.Holds(PlanVault.At(160)));
        Assert.False(coverage.Holds(PlanVault.At(160, 2)));
    }
}
