using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using Xunit;

namespace CrmBackup.Cdc.Tests;

public sealed class IdleWatchTests
{
    static readonly Lsn _start = new(0x1000100);

    static SourceMoment Moment(ulong written, long time) => new(new SourceTime(time), new Lsn(written), 0);

    [Fact]
    public void A_quiet_source_moves_its_time_and_not_its_position()
    {
        var idle = new IdleWatch(_start);
        idle.Note(Moment(0x1000200, 1), taken: 5);
        Assert.Equal((_start, new SourceTime(1)), idle.Look(_start, taken: 5, reached: new Lsn(0x1000200)));
        Assert.Null(idle.Look(_start, taken: 5, reached: new Lsn(0x1000200)));
    }

    [Fact]
    public void A_border_is_told_only_when_the_server_says_more()
    {
        var idle = new IdleWatch(_start);
        idle.Note(Moment(0x1000200, 1), taken: 5);
        Assert.Null(idle.Look(_start, taken: 5, reached: new Lsn(0x10001FF)));
        Assert.Equal((new Lsn(0x1000200), new SourceTime(1)), idle.Look(_start, taken: 5, reached: new Lsn(0x1000201)));
    }

    [Fact]
    public void A_border_not_passed_yet_is_kept_when_a_newer_one_comes()
    {
        var idle = new IdleWatch(_start);
        idle.Note(Moment(0x1000200, 1), taken: 5);
        Assert.NotNull(idle.Look(_start, taken: 5, reached: new Lsn(0x1000200)));
        idle.Note(Moment(0x1000300, 2), taken: 5);
        Assert.Equal((new Lsn(0x1000200), new SourceTime(2)), idle.Look(_start, taken: 5, reached: new Lsn(0x1000300)));
        idle.Note(Moment(0x1000400, 3), taken: 5);
        Assert.Equal((new Lsn(0x1000300), new SourceTime(3)), idle.Look(_start, taken: 5, reached: new Lsn(0x1000400)));
    }

    [Fact]
    public void What_came_meanwhile_makes_the_moment_worthless()
    {
        var idle = new IdleWatch(_start);
        idle.Note(Moment(0x1000200, 1), taken: 5);
        Assert.Null(idle.Look(new Lsn(0x1000180), taken: 8, reached: new Lsn(0x1000300)));
        Assert.Null(idle.Look(new Lsn(0x1000180), taken: 8, reached: new Lsn(0x1000300)));
    }

    [Fact]
    public void A_page_header_does_not_keep_a_source_from_being_quiet()
    {
        var idle = new IdleWatch(_start);
        idle.Note(Moment(0x1002018, 1), taken: 5);
        Assert.Equal((_start, new SourceTime(1)), idle.Look(_start, taken: 5, reached: new Lsn(0x1002000)));
    }

    [Fact]
    public void The_position_never_moves_back()
    {
        var idle = new IdleWatch(_start);
        idle.Note(Moment(0x1000200, 1), taken: 5);
        var completed = new Lsn(0x1000280);
        Assert.Equal((completed, new SourceTime(1)), idle.Look(completed, taken: 5, reached: new Lsn(0x1000300)));
        Assert.Equal(completed, idle.Position(_start));
    }
}
