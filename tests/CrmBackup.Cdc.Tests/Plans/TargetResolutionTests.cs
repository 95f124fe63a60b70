using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class TargetResolutionTests
{
    /// <summary>Base complete at 100 (10:00); commits at 110, 120, 130, 140, the third of which has a clock that ran ahead.</summary>
    static PlanVault Vault() => new PlanVault().Relation(PlanVault.Shape(1, 90)).Base(1, 100)
        .Transaction(100, 0, 700).Transaction(110, 1, 701).Transaction(120, 2, 702).Flush()
        .Transaction(130, 9, 703).Transaction(140, 3, (1UL << 32) + 704).Flush()
        .Transaction(150, 10, (1UL << 32) + 705).Flush().Covered(160, PlanVault.Clock(12));

    static RestoreTarget Time(int minute) => new RestoreTarget.AtTime(PlanVault.Clock(minute));

    [Theory]
    [InlineData(1, 110)]
    [InlineData(2, 120)]
    // The commit at 130 says 10:09, so recovery stops before it, although 140 says 10:03.
    [InlineData(3, 120)]
    [InlineData(8, 120)]
    [InlineData(9, 140)]
    [InlineData(11, 150)]
    public void A_time_stops_before_the_first_later_commit_in_wal_order(int minute, ulong lsn) =>
        Assert.Equal(PlanVault.At(lsn), Vault().Resolution().Resolve(Time(minute)).At);

    [Theory]
    [InlineData(13, "later than what the vault holds")]
    [InlineData(-5, "before the first transaction")]
    public void A_time_outside_of_what_is_known_is_refused_with_the_coverage(int minute, string why)
    {
        var refused = Assert.Throws<RefusedException>(() => Vault().Resolution().Resolve(Time(minute)));

        Assert.Contains(why, refused.Message);
        Assert.Contains("lsn:0/A0", refused.Hint);
    }

    [Fact]
    public void A_time_inside_a_gap_is_refused_although_the_last_commit_before_it_is_covered()
    {
        var vault = Vault().Gap(GapScope.Relation, 1, 125).Base(1, 145, id: 2);

        var refused = Assert.Throws<RefusedException>(() => vault.Resolution().Resolve(Time(5)));

        Assert.Contains("gap after 0/7D", refused.Message);
        Assert.Contains("--to lsn:0/78", refused.Hint);
        // Other tables are not touched by that gap.
        var other = vault.Relation(PlanVault.Shape(2, 90)).Base(2, 100).Resolution(new HashSet<int> { 2 });
        Assert.Equal(PlanVault.At(120), other.Resolve(Time(5)).At);
    }

    [Fact]
    public void A_target_inside_the_base_window_is_refused_not_moved()
    {
        var refused = Assert.Throws<RefusedException>(() => Vault().Resolution().Resolve(new RestoreTarget.AtLsn(new Lsn(95))));

        Assert.Contains("the base was not complete for public.t1", refused.Message);
        Assert.Contains("--to lsn:0/64", refused.Hint);
    }

    [Fact]
    public void An_xid_is_64_bits_and_32_only_when_unique()
    {
        var resolution = Vault().Resolution();

        Assert.Equal(PlanVault.At(120), resolution.Resolve(new RestoreTarget.AtXid(702)).At);
        Assert.Equal(PlanVault.At(119), resolution.Resolve(new RestoreTarget.AtXid(702), before: true).At);
        Assert.Equal(PlanVault.At(140), resolution.Resolve(new RestoreTarget.AtXid(704)).At);
        Assert.Throws<RefusedException>(() => resolution.Resolve(new RestoreTarget.AtXid(999)));
    }

    [Fact]
    public void A_mark_means_after_its_transaction_unless_it_was_set_before()
    {
        var vault = Vault().Commit(new CommitContent
        {
            Marks = [new Mark("after", PlanVault.At(120), false, PlanVault.Clock(2), 702), new Mark("prior", PlanVault.At(120), true, PlanVault.Clock(2), 702)],
        });

        Assert.Equal(PlanVault.At(120), vault.Resolution().Resolve(new RestoreTarget.AtMark("after")).At);
        Assert.Equal(PlanVault.At(119), vault.Resolution().Resolve(new RestoreTarget.AtMark("prior")).At);
        Assert.Contains("prior", Assert.Throws<RefusedException>(() => vault.Resolution().Resolve(new RestoreTarget.AtMark("x"))).Message);
    }

    [Fact]
    public void What_lies_beyond_the_switch_to_another_timeline_belongs_to_no_restore_but_that_of_its_own()
    {
        var branch = Branches.Setting(2, 1, new Lsn(130));
        var vault = new PlanVault().Relation(PlanVault.Shape(1, 90)).Base(1, 100).Schema(100)
            .Transaction(110, 1, 701).Transaction(120, 2, 702).Transaction(150, 5, 705).Flush(timeline: 1).Covered(160, PlanVault.Clock(5))
            .Gap(GapScope.Database, 0, 160).Commit(new CommitContent { Settings = new Dictionary<string, string> { [branch.Key] = branch.Value } })
            .Base(1, 140, timeline: 2, id: 2).Schema(140, timeline: 2).Transaction(145, 6, 706).Flush(timeline: 2).Covered(170, PlanVault.Clock(9), timeline: 2);
        var resolution = vault.Resolution();

        Assert.Equal(PlanVault.At(170, 2), resolution.Resolve(new RestoreTarget.Latest()).At);
        Assert.Equal(PlanVault.At(120), resolution.Resolve(new RestoreTarget.AtLsn(new Lsn(120))).At);
        Assert.Equal(PlanVault.At(150, 2), resolution.Resolve(new RestoreTarget.AtLsn(new Lsn(150))).At);
        Assert.Equal(PlanVault.At(160), resolution.Resolve(new RestoreTarget.OfTimeline(1)).At);
        Assert.Equal(PlanVault.At(110), resolution.Resolve(new RestoreTarget.AtTime(PlanVault.Clock(1))).At);
        Assert.Equal(PlanVault.At(145, 2), resolution.Resolve(new RestoreTarget.AtTime(PlanVault.Clock(7))).At);
        Assert.Equal(PlanVault.At(120), resolution.Resolve(new RestoreTarget.AtXid(702)).At);
        // Committed on the old timeline only; and a moment of which the new one was not captured yet.
        Assert.Throws<RefusedException>(() => resolution.Resolve(new RestoreTarget.AtXid(705)));
        Assert.Throws<RefusedException>(() => resolution.Resolve(new RestoreTarget.AtLsn(new Lsn(135))));
        Assert.Throws<RefusedException>(() => resolution.Resolve(new RestoreTarget.AtTime(PlanVault.Clock(5))));
    }

    [Fact]
    public void Latest_is_refused_while_a_gap_is_open()
    {
        Assert.Equal(PlanVault.At(160), Vault().Resolution().Resolve(new RestoreTarget.Latest()).At);
        var refused = Assert.Throws<RefusedException>(() =>
            Vault().Gap(GapScope.Database, 0, 155).Resolution().Resolve(new RestoreTarget.Latest()));
        Assert.Contains("--to lsn:0/9B", refused.Hint);
    }
}
