using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Looks whether the catalog changed, and whether our event triggers would have told it (rule 15). Sends nothing while nothing
/// changed but a sign of it now and then; takes no lock, and never more than a small part of a server core.</summary>
/// <param name="since">The snapshot of the last look that the archive judged; null when there was none.</param>
sealed class CatalogWatch(NpgsqlConnection connection, uint timeline, string? since, TimeProvider clock)
{
    /// <summary>The whole catalog is compared again after this long though the server's counters say that nothing moved.</summary>
    static readonly TimeSpan _trustCounters = TimeSpan.FromSeconds(30);
    /// <summary>A full look at ten thousand tables takes a second: at most a fiftieth of the time is spent on looking.</summary>
    const int PauseFactor = 50;

    Look? _last;
    long _lookedAt;
    TimeSpan _cost;
    long _toldAt;

    sealed record Look(Core.Snapshot Snapshot, Lsn Before, string Triggers, string Schema, string Columns, long Moves, string Problems, string? Damage, bool Usable);

    /// <param name="moment">Asked before this call: what was visible then is visible to the look.</param>
    /// <param name="signs">Of the set-up, as found just now.</param>
    /// <returns>Null when there is nothing to tell.</returns>
    public async Task<CatalogSeen?> LookAsync(SourceMoment moment, SetupSigns signs, CancellationToken stop)
    {
        var problems = string.Join('\n', signs.Problems);
        var quiet = _last is not null && clock.GetElapsedTime(_lookedAt) < _trustCounters
            && _last.Moves == signs.CatalogMoves && _last.Triggers == signs.Triggers;
        var tooSoon = _last is not null && clock.GetElapsedTime(_lookedAt) < _cost * PauseFactor;
        if ((quiet || tooSoon) && _last!.Problems == problems)
            return null;
        var began = clock.GetTimestamp();
        var look = await CatalogRace.AskAsync(() => ReadAsync(moment, signs, problems, stop), clock, stop);
        (_lookedAt, _cost) = (began, clock.GetElapsedTime(began));
        var before = _last;
        _last = look;
        if (before is not null && (before.Triggers, before.Schema, before.Columns, before.Problems) == (look.Triggers, look.Schema, look.Columns, look.Problems))
        {
            if (clock.GetElapsedTime(_toldAt) < _trustCounters)
                return null;
            _toldAt = began;
            return Seen(look, at: null, []);
        }
        _toldAt = began;
        var touched = (before?.Snapshot ?? (since is null ? null : Core.Snapshot.Parse(since))) is { } known
            ? await TouchedAsync(known, moment.NextXid, stop) : [];
        return Seen(look, new Position(timeline, await Barrier.EmitUnsealedAsync(connection, stop)), touched) with { UnchangedTo = before?.Before ?? Lsn.None };
    }

    static CatalogSeen Seen(Look look, Position? at, IReadOnlyList<TouchedTable> touched) => new(
        look.Snapshot.ToString(), look.Before, at, look.Triggers, look.Schema, look.Columns, touched,
        look.Problems.Split('\n', StringSplitOptions.RemoveEmptyEntries))
    {
        PublicationDamage = look.Damage,
        SetupUnusable = !look.Usable,
    };

    async Task<Look> ReadAsync(SourceMoment moment, SetupSigns signs, string problems, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(CatalogDigest.Sql, connection);
        await using var row = await command.ExecuteReaderAsync(stop);
        await row.ReadAsync(stop);
        return new Look(
            Core.Snapshot.Parse(row.GetString(0)), moment.Written, signs.Triggers, row.GetString(1), row.GetString(2), signs.CatalogMoves, problems,
            signs.PublicationDamage, signs.Usable);
    }

    /// <summary>Tables with a column whose row in the catalog the snapshot does not see.</summary>
    async Task<IReadOnlyList<TouchedTable>> TouchedAsync(Core.Snapshot known, ulong nextXid, CancellationToken stop)
    {
        const string sql = """
            SELECT a.attrelid, a.attnum, a.xmin FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE a.attrelid >= 16384 AND a.attnum > 0 AND c.relkind = 'r' AND c.relpersistence = 'p' AND age(a.xmin) BETWEEN 0 AND $1
            """;
        var touched = new Dictionary<uint, List<short>>();
        await using var command = new NpgsqlCommand(sql, connection)
        {
            Parameters = { new() { Value = (int)Math.Min(int.MaxValue, nextXid - Math.Min(nextXid, known.Xmin) + 1) } },
        };
        await using var rows = await command.ExecuteReaderAsync(stop);
        while (await rows.ReadAsync(stop))
        {
            if (known.Sees(TransactionIds.Resolve(rows.GetFieldValue<uint>(2), nextXid)))
                continue;
            if (!touched.TryGetValue(rows.GetFieldValue<uint>(0), out var columns))
                touched[rows.GetFieldValue<uint>(0)] = columns = [];
            columns.Add(rows.GetInt16(1));
        }
        return [.. touched.Select(table => new TouchedTable(table.Key, table.Value))];
    }
}
