using CrmBackup.Cdc.Core;
using Xunit;

namespace CrmBackup.Cdc.Tests.Settle;

public sealed class SettlePlanTests
{
    static readonly SettleOptions Options = new() { Bytes = 100, JobBytesMax = 250 };
    static readonly SourceTime Start = new(1_795_000_000_000_000);

    [Theory]
    [InlineData(99, 299, false, false)]
    [InlineData(100, 0, false, true)]
    [InlineData(1, 300, false, true)]
    [InlineData(1, 0, true, true)]
    public void Is_due_by_weight_by_age_or_when_asked(long bytes, int seconds, bool atOnce, bool due) =>
        Assert.Equal(due, SettlePlan.For(State(20, Log(1, 10, 20, bytes)), Options, After(seconds), atOnce) is not null);

    [Fact]
    public void Takes_logs_in_the_order_of_writing_and_never_parts_a_transaction()
    {
        var plan = SettlePlan.For(
            State(50, Log(4, 40, 50, 10), Log(2, 20, 30, 200), Log(1, 10, 20, 100), Log(3, 30, 30, 10)), Options, Start, atOnce: true)!;
        Assert.Equal([10, 20, 30], plan.Logs.Select(log => (int)log.First.Value));
        Assert.Equal(new Lsn(30), plan.To);
    }

    [Fact]
    public void The_watermark_reaches_the_covered_position_only_with_all_logs_settled()
    {
        var all = SettlePlan.For(State(77, Log(1, 10, 20, 1)), Options, Start, atOnce: true)!;
        Assert.Equal(new Lsn(77), all.To);
        var idle = SettlePlan.For(State(78), Options, Start, atOnce: true)!;
        Assert.Equal(new Lsn(78), idle.To);
        Assert.Empty(idle.Logs);
        Assert.Null(SettlePlan.For(State(78), Options, Start, atOnce: false));
        Assert.Null(SettlePlan.For(State(78) with { SettledTo = new Lsn(78) }, Options, Start, atOnce: true));
    }

    [Fact]
    public void A_job_stays_on_one_timeline()
    {
        var plan = SettlePlan.For(
            State(15, Log(1, 10, 20, 1), Log(2, 12, 15, 1) with { Timeline = 2 }) with
            {
                CoveredTo = new CoveredTo(new Position(2, new Lsn(15)), null),
            },
            Options, Start, atOnce: true)!;
        Assert.Equal((1u, 1, new Lsn(20)), (plan.Timeline, plan.Logs.Count, plan.To));
    }

    static SourceTime After(int seconds) => new(Start.UnixMicroseconds + seconds * 1_000_000L);

    static VaultState State(ulong covered, params SegmentEntry[] logs) => VaultState.Empty with
    {
        Segments = logs.ToDictionary(log => log.Path).Aggregate(VaultState.Empty.Segments, (all, log) => all.Add(log.Key, log.Value)),
        CoveredTo = new CoveredTo(new Position(1, new Lsn(covered)), null),
    };

    static SegmentEntry Log(int counter, ulong first, ulong last, long bytes) => new(
        // The day goes back: the source's clock was set.
        $"log/2026-11-{30 - counter}/00000001-{counter:D12}-{first:x16}.parquet", SegmentKind.Log, 0, 0, 0, 0, bytes, 1,
        Sha256.Zero, Sha256.Zero, new Lsn(first), new Lsn(last), Start, Start, 5, 1);
}
