using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;
using Xunit;

namespace CrmBackup.Cdc.Tests;

/// <summary>The vault ends at 0/100; its newest transaction's commit record is at 0/E0.</summary>
public sealed class StreamStartTests
{
    static readonly Guid Known = Guid.NewGuid(), Other = Guid.NewGuid();
    static readonly Anchor Newest = new(new Lsn(0xE0), new Lsn(0xF8), 700, new SourceTime(1));
    static readonly StreamStart Start = new(7, At(0x100), Known, OwnPid: null) { Anchor = Newest };

    static Position At(ulong lsn) => new(1, new Lsn(lsn));

    [Fact]
    public void The_stream_goes_on_at_the_vaults_end_and_is_told_from_its_newest_transaction_on() =>
        Assert.Equal((At(0x100), new StreamBeginning(new Lsn(0xE0), Newest)), Start.Begin("crmbackup", Known, At(0xE0), new Lsn(0x200)));

    [Fact]
    public void A_slot_made_anew_is_where_the_stream_begins_and_the_archive_sees_the_gap() =>
        Assert.Equal((At(0x180), new StreamBeginning(new Lsn(0x180), null)), Start.Begin("crmbackup", Other, At(0x180), new Lsn(0x200)));

    [Fact]
    public void Past_the_vaults_end_the_stream_begins_where_the_slot_is_and_bases_wait_for_what_it_passed()
    {
        Assert.Equal((At(0x180), new StreamBeginning(new Lsn(0x180), null)), Start.Begin("crmbackup", Known, At(0x180), new Lsn(0x200)));
        Assert.True(Start.IsPassedBy(Known, At(0x180)));
        // Its making waited.
        Assert.False(Start.IsPassedBy(Other, At(0x180)));
        Assert.False(Start.IsPassedBy(Known, At(0x100)));
    }

    [Theory]
    // Before the vault's end, and not the one that the vault followed; or past what would prove it.
    [InlineData(true, 0x80)]
    [InlineData(false, 0xF0)]
    public void A_slot_that_cannot_show_the_vaults_history_is_lost_also_where_nothing_was_read_from_it_yet(bool other, ulong at) =>
        Assert.True(Assert.Throws<SlotLostException>(() => Start.Begin("crmbackup", other ? Other : Known, At(at), new Lsn(0x200))).OtherHistory);

    [Fact]
    public void A_source_that_ends_before_the_vault_is_waited_for() =>
        Assert.Throws<SourceBehindException>(() => Start.Begin("crmbackup", Known, At(0x80), new Lsn(0xFF)));
}
