using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Tests.Simulation;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>The vault ends at 0/300; its newest transaction is 741, from 0/200 to 0/240.</summary>
public sealed class ContinuityProofTests : IDisposable
{
    static readonly Lsn _end = new(0x300);
    readonly FrameFeed _feed;
    readonly ContinuityProof _proof;

    public ContinuityProofTests()
    {
        var header = new BlockHeader(BlockKind.Stream, 1, 5, 1, Guid.Empty, 0, 0, Sha256.Zero, _end, _end, 0, 0, false);
        _feed = new FrameFeed(new BlockLane(new InProcessChangeLog(1), header, 1000, TimeProvider.System),
            new MessageKey(new byte[64], new byte[64]), Path.GetTempPath(), 1000, _end, NullLogger.Instance);
        var anchor = Of(741, 0x200);
        _proof = new ContinuityProof(new Anchor(anchor.CommitRecord, anchor.End, anchor.Xid, anchor.Time), _end, _feed);
    }

    static Transaction Of(ulong xid, ulong at, long time = 1_800_000_000_000_000) =>
        new(xid, streamed: false) { CommitRecord = new Lsn(at), End = new Lsn(at + 0x40), Time = new SourceTime(time) };

    bool Take(byte[] frame) => _proof.Takes(frame, default);

    void Takes(Transaction transaction)
    {
        Assert.True(Take(PgFrame.Begin(transaction)));
        Assert.True(Take(PgFrame.Commit(transaction)));
    }

    void TakesStreamed(Transaction transaction, params byte[][] rows)
    {
        Assert.True(Take(PgFrame.StreamStart(transaction, first: true)));
        foreach (var row in rows)
            Assert.True(Take(row));
        Assert.True(Take(PgFrame.StreamStop()));
        Assert.True(Take(PgFrame.StreamCommit(transaction)));
    }

    static byte[] Truncate(uint xid) => PgFrame.Of(new Change(ChangeKind.Truncate, new CrmTable(1, "t", true), 0, null, null, false, default, 0), xid);

    [Fact]
    public void The_same_transaction_and_then_nothing_before_the_end_is_the_same_history()
    {
        Takes(Of(741, 0x200));
        Assert.False(Take(PgFrame.Begin(Of(742, 0x300))));
    }

    [Fact]
    public void A_streamed_transaction_is_compared_too_and_one_that_is_still_open_is_kept()
    {
        var open = Of(739, 0x400);
        Assert.True(Take(PgFrame.StreamStart(open, first: true)));
        Assert.True(Take(PgFrame.StreamStop()));
        TakesStreamed(Of(741, 0x200), Truncate(741));
        // All of it was rolled back: it may or may not come.
        TakesStreamed(Of(740, 0x260));
        Assert.False(Take(PgFrame.StreamCommit(open)));
        Assert.Equal(1, _feed.Staged);
    }

    [Fact]
    public void Tables_that_were_told_with_it_are_told_again()
    {
        var anchor = Of(741, 0x200);
        Take(PgFrame.Begin(anchor));
        Take(PgFrame.Relation(new CrmTable(16400, "t", true), 0));
        Take(PgFrame.Commit(anchor));
        Assert.Single(_proof.Told);
    }

    [Theory]
    [InlineData(742, 0x200, 0)]
    [InlineData(741, 0x208, 0)]
    [InlineData(741, 0x200, 1)]
    public void Another_transaction_in_its_place_is_another_history(ulong xid, ulong at, long later) => Assert.Contains("set back",
        Assert.Throws<OtherHistoryException>(() => Take(PgFrame.Begin(Of(xid, at, 1_800_000_000_000_000 + later)))).Message);

    [Fact]
    public void Nothing_in_its_place_is_another_history() => Assert.Throws<OtherHistoryException>(() => Take(PgFrame.Begin(Of(742, 0x300))));

    [Fact]
    public void A_transaction_where_the_vault_knows_of_none_is_another_history()
    {
        Takes(Of(741, 0x200));
        Assert.Throws<OtherHistoryException>(() => Take(PgFrame.Begin(Of(742, 0x2F8))));
    }

    [Fact]
    public void A_streamed_one_there_is_too()
    {
        Takes(Of(741, 0x200));
        Assert.Throws<OtherHistoryException>(() => TakesStreamed(Of(742, 0x280), Truncate(742)));
    }

    public void Dispose() => _feed.Dispose();
}
