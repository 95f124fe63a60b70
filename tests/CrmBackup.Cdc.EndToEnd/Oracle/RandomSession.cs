using System.Data;
using Npgsql;

namespace CrmBackup.Cdc.EndToEnd.Oracle;

/// <summary>One client that composes transactions until stopped: changes of rows and of the schema, savepoints rolled back, transactions
/// rolled back or committed in two phases. What the server refuses is rolled back.</summary>
sealed class RandomSession : IAsyncDisposable
{
    /// <summary>Where to write every statement, when a failure is to be understood.</summary>
    static readonly TextWriter? _trace = Environment.GetEnvironmentVariable("CRMBACKUP_TESTS_TRACE") is { Length: > 0 } path
        ? TextWriter.Synchronized(new StreamWriter(path) { AutoFlush = true }) : null;

    readonly NpgsqlConnection _connection;
    readonly Random _random;
    readonly RandomDml _dml;
    readonly RandomDdl _ddl;
    readonly int _number;
    readonly CancellationTokenSource _stop = new();
    readonly SemaphoreSlim _free = new(1);
    readonly Task _work;
    string? _prepared;
    /// <summary>The transaction holds a lock that would shut out whoever records the state: it is not prepared.</summary>
    bool _exclusive;

    RandomSession(NpgsqlConnection connection, int seed, int number, bool gaps)
    {
        (_connection, _number, _random) = (connection, number, new Random(seed * 1000 + number));
        (_dml, _ddl) = (new RandomDml(_random), new RandomDdl(_random, gaps));
        _work = Task.Run(WorkAsync);
    }

    public int Committed { get; private set; }

    public int Refused { get; private set; }

    public int SchemaChanges { get; private set; }

    public static async Task<RandomSession> StartAsync(string connectionString, int seed, int number, bool gaps)
    {
        var connection = new NpgsqlConnection(connectionString + ";Pooling=false;Command Timeout=60");
        await OpenAsync(connection);
        return new RandomSession(connection, seed, number, gaps);
    }

    static async Task OpenAsync(NpgsqlConnection connection)
    {
        await connection.OpenAsync();
        await ExecuteAsync(connection, "SET lock_timeout = '2s'; SET deadlock_timeout = '200ms'; SET client_min_messages = 'error'");
    }

    /// <summary>Waits until the session is between two transactions, and keeps it there. What it prepared stays prepared.</summary>
    public Task PauseAsync() => Task.WhenAny(_free.WaitAsync(), _work).Unwrap();

    public void Resume() => _free.Release();

    /// <summary>Ends between two transactions; nothing prepared is left. A failure that was none of the server's is thrown here.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _work;
        await SettlePreparedAsync();
    }

    async Task WorkAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            await _free.WaitAsync();
            try
            {
                await TransactionAsync();
                Committed++;
            }
            catch (PostgresException) when (_connection.State == ConnectionState.Open)
            {
                Refused++;
                await ExecuteAsync(_connection, "ROLLBACK");
            }
            catch (PostgresException overtaken) when (overtaken.SqlState == PostgresErrorCodes.InternalError)
            {
                // "tuple concurrently updated": two sessions replaced one function. Npgsql gives the connection up.
                Refused++;
                await _connection.CloseAsync();
                await OpenAsync(_connection);
            }
            finally
            {
                _free.Release();
            }
            await Task.Delay(_random.Next(0, 40));
        }
    }

    async Task TransactionAsync()
    {
        if (_prepared is not null && _random.Next(4) == 0)
            await SettlePreparedAsync();
        var tables = await KnownTable.AllAsync(_connection);
        await ExecuteAsync(_connection, "BEGIN");
        _exclusive = false;
        var statements = _random.Next(1, 9);
        for (var i = 0; i < statements; i++)
        {
            if (_random.Next(6) == 0)
                await RolledBackAsync(tables);
            if (_random.Next(40) == 0)
            {
                await ChangeSchemaAsync(tables);
                tables = await KnownTable.AllAsync(_connection);
            }
            else if (tables.Count > 0)
                await ChangeRowsAsync(tables);
        }
        if (_random.Next(12) == 0)
            await ExecuteAsync(_connection, "ROLLBACK");
        else if (_prepared is null && !_exclusive && _random.Next(10) == 0)
        {
            var name = $"session {_number} of {_connection.Database}";
            await ExecuteAsync(_connection, $"PREPARE TRANSACTION '{name}'");
            _prepared = name;
        }
        else
            await ExecuteAsync(_connection, "COMMIT");
    }

    async Task RolledBackAsync(IReadOnlyList<KnownTable> tables)
    {
        await ExecuteAsync(_connection, "SAVEPOINT s");
        try
        {
            await (tables.Count == 0 || _random.Next(10) == 0 ? ChangeSchemaAsync(tables) : ChangeRowsAsync(tables));
            if (_random.Next(3) == 0)
            {
                await ExecuteAsync(_connection, "RELEASE s");
                return;
            }
        }
        catch (PostgresException refused) when (_connection.State == ConnectionState.Open && refused.SqlState != "40P01")
        {
            // As an application does that expects a unique violation.
        }
        await ExecuteAsync(_connection, "ROLLBACK TO s; RELEASE s");
    }

    async Task ChangeSchemaAsync(IReadOnlyList<KnownTable> tables)
    {
        _exclusive = true;
        await ExecuteAsync(_connection, tables.Count == 0 ? _ddl.Create(tables) : _ddl.Next(tables));
        SchemaChanges++;
    }

    Task ChangeRowsAsync(IReadOnlyList<KnownTable> tables)
    {
        var statement = _dml.Next(tables);
        _exclusive |= statement.StartsWith("TRUNCATE", StringComparison.Ordinal);
        return ExecuteAsync(_connection, statement);
    }

    async Task SettlePreparedAsync()
    {
        if (_prepared is null)
            return;
        await ExecuteAsync(_connection, $"{(_random.Next(3) == 0 ? "ROLLBACK" : "COMMIT")} PREPARED '{_prepared}'");
        _prepared = null;
    }

    static async Task ExecuteAsync(NpgsqlConnection connection, string sql)
    {
        if (_trace is not null)
            await _trace.WriteLineAsync($"{DateTime.UtcNow:HH:mm:ss.fff} [{connection.ProcessID}] {sql}");
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await ((Task)_work).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_prepared is not null && _connection.State == System.Data.ConnectionState.Open)
            await ExecuteAsync(_connection, $"ROLLBACK PREPARED '{_prepared}'");
        await _connection.DisposeAsync();
        _stop.Dispose();
        _free.Dispose();
    }
}
