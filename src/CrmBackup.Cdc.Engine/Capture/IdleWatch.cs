using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Postgres;

namespace CrmBackup.Cdc.Engine;

/// <summary>Decides how far an idle source is known to hold nothing for us. Pure: reads no clock, asks nobody.
/// <para>What the server says it has decoded may count a frame that we have not seen yet. A border W between records that was read from the
/// server <em>before</em> it said more than W is safe nevertheless: the frame not seen yet, if any, belongs to a commit at or after W, and
/// all frames before it were seen.</para></summary>
sealed class IdleWatch(Lsn start)
{
    const ulong PageSize = 8192, PageHeaderMax = 40;
    Lsn _told = start;
    SourceMoment? _moment;
    /// <summary>The border not passed yet, kept until it is: a newer one would never be.</summary>
    SourceMoment? _border;
    long _taken;

    /// <summary>The later of the last transaction's end and what was told as idle.</summary>
    public Lsn Position(Lsn completed) => completed > _told ? completed : _told;

    /// <param name="moment">Of the source.</param>
    /// <param name="taken">Frames taken before it was asked for.</param>
    public void Note(SourceMoment moment, long taken) => (_moment, _border, _taken) = (moment, _border ?? moment, taken);

    /// <summary>What is to be told now. Only to be called outside a transaction.</summary>
    /// <param name="completed">End of the last transaction received.</param>
    /// <param name="reached">How far the server says it has decoded.</param>
    public (Lsn At, SourceTime Time)? Look(Lsn completed, long taken, Lsn reached)
    {
        if (_moment is not { } moment)
            return null;
        if (taken != _taken)
        {
            // Not idle: the transactions tell position and time themselves.
            (_moment, _border) = (null, null);
            return null;
        }
        var quiet = reached >= WithoutPageHeader(moment.Written);
        if (_border is { } border && reached > border.Written)
        {
            _border = reached > moment.Written ? null : moment;
            var safe = _border is null ? moment : border;
            if (quiet)
                _moment = null;
            return Tell(completed, safe.Written, quiet ? moment.Time : safe.Time);
        }
        if (!quiet)
            return null;
        // The WAL's end is decoded and nothing came of it: the time is known to hold nothing, the position stays.
        _moment = null;
        return Tell(completed, Lsn.None, moment.Time);
    }

    (Lsn At, SourceTime Time) Tell(Lsn completed, Lsn safe, SourceTime time)
    {
        _told = Position(completed) is var position && safe > position ? safe : position;
        return (_told, time);
    }

    /// <summary>Where a record begins on a page, the insert position counts the page's header and the decoded position does not.</summary>
    static Lsn WithoutPageHeader(Lsn written) =>
        written.Value % PageSize <= PageHeaderMax ? new Lsn(written.Value - written.Value % PageSize) : written;
}
