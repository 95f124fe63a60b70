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
        // pg_blocking_pids sees soft blocks too: who queues behind someone who queues behind us.
        const string sql = """
            SELECT DISTINCT blocker FROM pg_locks l, unnest(pg_blocking_pids(l.pid)) AS blocker
            WHERE NOT l.granted AND blocker = ANY ($1)
            """;
        var blockers = new List<int>();
        await using (var command = new NpgsqlCommand(sql, connection) { Parameters = { new() { Value = pids } } })
        await using (var rows = await command.ExecuteReaderAsync(stop))
            while (await rows.ReadAsync(stop))
                blockers.Add(rows.GetInt32(0));
        foreach (var pid in blockers)
        {
            bool again;
            lock (_lock)
            {
                if (!_readers.TryGetValue(pid, out var reader))
                    continue;
                (again, reader.Yielded) = (reader.Yielded, true);
            }
            // A backend that waits for us to take its rows does not hear a cancel: then its connection is ended.
            await using var end = new NpgsqlCommand(again ? "SELECT pg_terminate_backend($1)" : "SELECT pg_cancel_backend($1)", connection)
            {
                Parameters = { new() { Value = pid } },
            };
            await end.ExecuteNonQueryAsync(stop);
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
