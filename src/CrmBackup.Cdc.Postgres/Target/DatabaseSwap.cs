using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Puts one database in another's place: shuts everybody out of the old one, then renames both in one transaction, so that at no
/// moment the name means nothing. Disposed before <see cref="CompleteAsync"/>, it lets everybody in again.</summary>
public sealed class DatabaseSwap : IAsyncDisposable
{
    static readonly TimeSpan _look = TimeSpan.FromMilliseconds(50);
    /// <summary>A backend ends within moments of being told to; one that does not is in trouble.</summary>
    static readonly TimeSpan _endsWithin = TimeSpan.FromSeconds(20);

    /// <summary>Our name alone proves nothing: it must be the user of a walsender of ours too. These sessions only read, and end at last.</summary>
    const string OfCapture = $"""
        coalesce(application_name = '{SourceConnection.ApplicationName}' AND usesysid IN (
            SELECT usesysid FROM pg_stat_replication WHERE application_name = '{SourceConnection.ApplicationName}'), false)
        """;

    readonly NpgsqlConnection _server;
    readonly string _name;
    readonly TimeProvider _clock;
    readonly long _began;
    bool _done;

    DatabaseSwap(NpgsqlConnection server, string name, TimeProvider clock) =>
        (_server, _name, _clock, _began) = (server, name, clock, clock.GetTimestamp());

    /// <summary>How long nobody could connect, so far or in all.</summary>
    public TimeSpan Downtime { get; private set; }

    /// <summary>From here on nobody new gets into the database, and whoever is in is thrown out, but for the walsenders and the sessions of
    /// capture, without which it could not bring what the database still sends.</summary>
    /// <param name="server">Connected to another database of the server; used until the swap is disposed.</param>
    /// <param name="own">A backend of ours that may stay.</param>
    public static async Task<DatabaseSwap> BeginAsync(
        NpgsqlConnection server, string name, int own, TimeProvider clock, CancellationToken stop)
    {
        await RefusePreparedAsync(server, name, stop);
        var swap = new DatabaseSwap(server, name, clock);
        try
        {
            await ScriptRunner.ExecuteAsync(server, $"ALTER DATABASE {SqlText.Identifier(name)} WITH ALLOW_CONNECTIONS false", stop);
            await swap.EndSessionsAsync($"pid <> {own} AND backend_type <> 'walsender' AND NOT {OfCapture}", stop);
            return swap;
        }
        catch
        {
            await swap.DisposeAsync();
            throw;
        }
    }

    /// <exception cref="RefusedException">A prepared transaction stands in the database: it would stay behind with its locks.</exception>
    public static async Task RefusePreparedAsync(NpgsqlConnection server, string name, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("SELECT gid FROM pg_prepared_xacts WHERE database = $1 ORDER BY prepared LIMIT 1", server)
        {
            Parameters = { new() { Value = name } },
        };
        if (await command.ExecuteScalarAsync(stop) is string gid)
            throw new RefusedException($"the prepared transaction '{gid}' stands in {name}",
                "Commit or roll it back first: COMMIT PREPARED or ROLLBACK PREPARED with that name.");
    }

    /// <summary>Ends the rest of the sessions, and renames.</summary>
    /// <param name="next">Takes the name.</param>
    /// <param name="kept">The name of the old one from now on.</param>
    public async Task CompleteAsync(string next, string kept, CancellationToken stop)
    {
        await EndSessionsAsync("true", stop);
        await RefusePreparedAsync(_server, _name, stop);
        await ScriptRunner.ExecuteAsync(_server, "BEGIN", stop);
        try
        {
            await ScriptRunner.ExecuteAsync(_server, $"ALTER DATABASE {SqlText.Identifier(_name)} RENAME TO {SqlText.Identifier(kept)}", stop);
            await ScriptRunner.ExecuteAsync(_server, $"ALTER DATABASE {SqlText.Identifier(next)} RENAME TO {SqlText.Identifier(_name)}", stop);
            await ScriptRunner.ExecuteAsync(_server, $"ALTER DATABASE {SqlText.Identifier(kept)} WITH ALLOW_CONNECTIONS true", stop);
            await ScriptRunner.ExecuteAsync(_server, $"ALTER DATABASE {SqlText.Identifier(_name)} WITH ALLOW_CONNECTIONS true", stop);
            await ScriptRunner.ExecuteAsync(_server, "COMMIT", stop);
        }
        catch (PostgresException failure)
        {
            await ScriptRunner.ExecuteAsync(_server, "ROLLBACK", CancellationToken.None);
            throw new BackupException($"{_name} could not be replaced: {failure.MessageText}",
                $"It is as it was. The restored database is {next}.", ExitCode.Failed, failure);
        }
        _done = true;
        Downtime = _clock.GetElapsedTime(_began);
    }

    async Task EndSessionsAsync(string which, CancellationToken stop)
    {
        var since = _clock.GetTimestamp();
        while (true)
        {
            await using var command = new NpgsqlCommand(
                $"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND {which}", _server)
            { Parameters = { new() { Value = _name } } };
            if (await command.ExecuteScalarAsync(stop) is 0L)
                return;
            if (_clock.GetElapsedTime(since) > _endsWithin)
                throw new BackupException($"sessions of {_name} do not end", "See pg_stat_activity; end them by hand, then restore again.");
            await Task.Delay(_look, _clock, stop);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_done)
            return;
        _done = true;
        Downtime = _clock.GetElapsedTime(_began);
        await ScriptRunner.ExecuteAsync(_server, $"ALTER DATABASE {SqlText.Identifier(_name)} WITH ALLOW_CONNECTIONS true", CancellationToken.None);
    }
}
