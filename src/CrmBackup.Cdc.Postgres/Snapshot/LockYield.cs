using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Our readers hold table locks only as long as nobody waits behind them (rule 18): asks the server ten times a second, while
/// any reader is at work, and ends the one that someone waits for. The work is repeated later.</summary>
public sealed class LockYield(NpgsqlConnectionStringBuilder settings, TimeProvider clock) : IAsyncDisposable
{
    static readonly TimeSpan _look = TimeSpan.FromMilliseconds(100);
    readonly Lock _lock = new();
    readonly Dictionary<int, Reader> _readers = [];
    readonly SemaphoreSlim _wake = new(0);
    readonly CancellationTokenSource _ending = new();
    Task? _watching;

    /// <summary>A reader under watch, until disposed.</summary>
    public sealed class Reader : IDisposable
    {
        readonly LockYield _watch;
        readonly CancellationTokenSource _unwatched;

        internal Reader(LockYield watch, int pid, CancellationToken stop) =>
            (_watch, Pid, _unwatched) = (watch, pid, CancellationTokenSource.CreateLinkedTokenSource(stop));

        internal int Pid { get; }

        /// <summary>True when it was ended because someone waited, or because nobody could have told whether someone does.</summary>
        public bool Yielded { get; internal set; }

        /// <summary>Nobody reads unwatched: cancelled when the watch fails.</summary>
        public CancellationToken Stop => _unwatched.Token;

        internal Task EndAsync() => _unwatched.CancelAsync();

        public void Dispose()
        {
            lock (_watch._lock)
                _watch._readers.Remove(Pid);
            _unwatched.Dispose();
        }
    }

    /// <param name="pid">Of one of our own backends, about to lock a table.</param>
    public Reader Watch(int pid, CancellationToken stop)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_ending.IsCancellationRequested, this);
            var reader = new Reader(this, pid, stop);
            _readers.Add(pid, reader);
            if (_watching is null or { IsCompleted: true })
                _watching = WatchAsync(_ending.Token);
            else
                _wake.Release();
            return reader;
        }
    }

    async Task WatchAsync(CancellationToken stop)
    {
        try
        {
            await using var connection = await SourceConnection.OpenAsync(settings, stop);
            while (true)
            {
                while (Pids() is { Length: > 0 } pids)
                {
                    await LookAsync(connection, pids, stop);
                    await Task.Delay(_look, clock, stop);
                }
                await _wake.WaitAsync(stop);
            }
        }
        catch (Exception failure) when (failure is NpgsqlException or BackupException)
        {
            // Their work ends as if someone waited; the next reader begins a new watch.
            await EndAllAsync();
        }
    }

    async Task EndAllAsync()
    {
        List<Reader> readers;
        lock (_lock)
        {
            readers = [.. _readers.Values];
            foreach (var reader in readers)
                reader.Yielded = true;
        }
        foreach (var reader in readers)
            await reader.EndAsync();
    }

    int[] Pids()
    {
        lock (_lock)
            return [.. _readers.Keys];
    }

    async Task LookAsync(NpgsqlConnection connection, int[] pids, CancellationToken stop)
    {
        // pg_blocking_pids sees soft blocks too: who queues behind someone who queues behind us. A backend that waits for us to take its
        // rows does not hear a cancel: its connection is ended.
        const string sql = """
            SELECT blocker, coalesce(a.wait_event_type = 'Client', false)
            FROM (SELECT DISTINCT b FROM pg_locks l, unnest(pg_blocking_pids(l.pid)) AS b WHERE NOT l.granted AND b = ANY ($1)) AS w (blocker)
            LEFT JOIN pg_stat_activity a ON a.pid = blocker
            """;
        var blockers = new List<(int Pid, bool Deaf)>();
        await using (var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = pids } } })
        await using (var rows = await command.ExecuteReaderAsync(stop))
            while (await rows.ReadAsync(stop))
                blockers.Add((rows.GetInt32(0), rows.GetBoolean(1)));
        foreach (var (pid, deaf) in blockers)
        {
            bool end;
            lock (_lock)
            {
                if (!_readers.TryGetValue(pid, out var reader))
                    continue;
                (end, reader.Yielded) = (deaf || reader.Yielded, true);
            }
            await using var command = new NpgsqlCommand(end ? "SELECT pg_terminate_backend($1)" : "SELECT pg_cancel_backend($1)", connection)
            {
                Parameters = { new() { Value = pid } },
            };
            await command.ExecuteNonQueryAsync(stop);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync();
        if (_watching is not null)
            await _watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _ending.Dispose();
        _wake.Dispose();
    }
}
