using CrmBackup.Cdc.ChangeLog;
using CrmBackup.Cdc.Core;
using CrmBackup.Cdc.Engine;
using CrmBackup.Cdc.Postgres;
using CrmBackup.Cdc.Vault;
using Microsoft.Extensions.Logging;
using Npgsql;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A source under protection, capture and archive in this process, with little patience; and what the vault says of it.</summary>
sealed class Guarded : IAsyncDisposable
{
    readonly string _folder = Directory.CreateTempSubdirectory("crmbackup-harm-").FullName;
    readonly ITestOutputHelper _output;
    CancellationTokenSource? _ending;
    Task _running = Task.CompletedTask;
    InProcessChangeLog? _log;
    VaultWriter? _writer;
    ArchiveLoop? _archive;
    string _connection;

    Guarded(SourceDatabase source, ITestOutputHelper output) => (Source, _output, _connection) = (source, output, source.ConnectionString);

    public SourceDatabase Source { get; }

    public BackupVault Vault { get; private set; } = null!;

    public TestLog Log { get; private set; } = null!;

    public Func<CaptureOptions, CaptureOptions> Options { get; init; } = options => options;

    public long RepairBytesMin { get; init; } = new ArchiveOptions().RepairBytesMin;

    /// <summary>Waits end after so many seconds.</summary>
    public int Patience { get; init; } = 60;

    /// <summary>Prepares the source and waits until it is protected.</summary>
    public static async Task<Guarded> StartAsync(
        PostgresServer server, string schema, ITestOutputHelper output, Func<CaptureOptions, CaptureOptions>? options = null, SetupOptions? setup = null,
        int patience = 60, long? repairBytesMin = null)
    {
        var source = await SourceDatabase.CreateAsync(server);
        var made = new Guarded(source, output) { Options = options ?? (same => same), Patience = patience, RepairBytesMin = repairBytesMin ?? new ArchiveOptions().RepairBytesMin };
        try
        {
            await source.CrmAsync(schema);
            var identity = new VaultIdentity(Guid.NewGuid(), VaultFormat.Current,
                ulong.Parse(await source.AskAsync<string>("SELECT system_identifier::text FROM pg_control_system()")), source.Name, DateTimeOffset.UnixEpoch);
            await source.InitAsync((setup ?? new SetupOptions { Identity = IdentityChoice.Full }) with { Vault = identity.Id });
            await BackupVault.CreateAsync(DirectoryMedium.CreateRoot(made._folder), identity, default);
            await made.StartAsync();
            await made.ProtectedAsync();
            return made;
        }
        catch
        {
            await made.DisposeAsync();
            throw;
        }
    }

    /// <param name="connection">Of the source that took the place of the first.</param>
    public async Task StartAsync(string? connection = null)
    {
        _connection = connection ?? _connection;
        Log = new TestLog(_output);
        _ending = new CancellationTokenSource();
        Vault = await BackupVault.OpenAsync(new DirectoryMedium(_folder), default);
        _writer = await VaultWriter.OpenAsync(Vault, TimeProvider.System, "test", 1, default);
        _log = new InProcessChangeLog(8);
        var capture = new CaptureLoop(Options(new CaptureOptions
        {
            Source = ConnectionText.Parse(_connection),
            Idle = TimeSpan.FromMilliseconds(200),
            SequenceEvery = TimeSpan.FromMilliseconds(200),
            RetryMax = TimeSpan.FromSeconds(1),
        }), _log, TimeProvider.System, Log);
        _archive = new ArchiveLoop(Vault, _writer, _log, new ArchiveOptions
        {
            Flush = TimeSpan.FromMilliseconds(100),
            Idle = TimeSpan.FromSeconds(1),
            Ask = TimeSpan.FromSeconds(1),
            OrderRetry = TimeSpan.FromMilliseconds(200),
            SchemaQuiet = TimeSpan.FromMilliseconds(100),
            BaseChunkPages = 256,
            RepairBytesMin = RepairBytesMin,
        }, TimeProvider.System, new Typed(Log));
        _running = Task.WhenAll(EndingAllAsync(capture.RunAsync), EndingAllAsync(_archive.RunAsync));
    }

    async Task EndingAllAsync(Func<CancellationToken, Task> loop)
    {
        try
        {
            await loop(_ending!.Token);
        }
        finally
        {
            await _ending!.CancelAsync();
        }
    }

    public async Task StopAsync()
    {
        if (_ending is null)
            return;
        await _ending.CancelAsync();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _writer!.Dispose();
        await _log!.DisposeAsync();
        _ending.Dispose();
        _ending = null;
    }

    /// <summary>What ended the loops by itself.</summary>
    public async Task<Exception> FailureAsync()
    {
        await Task.WhenAny(_running, Task.Delay(TimeSpan.FromSeconds(60)));
        Assert.True(_running.IsFaulted, "the loops still run, or ended without an error");
        return _running.Exception!.InnerExceptions[0];
    }

    public StatusReport Status => StatusReport.Of(Vault, null, TimeProvider.System);

    /// <summary>Every table has its base, the schema is stored, the set-up is whole.</summary>
    public Task ProtectedAsync() => UntilAsync(() => _archive!.IsProtecting && Status.Protecting, "protection");

    public async Task UntilAsync(Func<bool> condition, string what, int? seconds = null)
    {
        try
        {
            await Eventually.TrueAsync(() => _running.IsCompleted || condition(), TimeSpan.FromSeconds(seconds ?? Patience), what);
        }
        catch (TimeoutException late)
        {
            throw new TimeoutException($"{late.Message}: {string.Join("; ", Status.Problems)} | {string.Join("; ", Vault.State.Gaps.Select(gap => $"{gap.Scope} after {gap.After}: {gap.Reason}"))}");
        }
        if (_running.IsCompleted)
            await _running;
    }

    /// <summary>Until everything committed before this call is durable.</summary>
    public async Task DurableAsync()
    {
        await using var connection = new NpgsqlConnection(_connection + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand("SELECT pg_logical_emit_message(true, 'test', '')::text", connection);
        var lsn = Lsn.Parse((string)(await command.ExecuteScalarAsync())!);
        await UntilAsync(() => _archive!.Durable is { } durable && durable.Lsn > lsn, "durability");
    }

    /// <summary>In a session of its own, as a person at psql: its statistics are known when it is gone.</summary>
    public async Task PersonAsync(string sql)
    {
        await using var connection = new NpgsqlConnection(_connection + ";Pooling=false");
        await connection.OpenAsync();
        await SourceDatabase.ExecuteAsync(connection, sql);
    }

    public IReadOnlyList<Gap> Gaps(GapScope scope) => [.. Vault.State.Gaps.Where(gap => gap.Scope == scope)];

    public bool HasGap(GapScope scope, string reason) =>
        Vault.State.Gaps.Exists(gap => gap.Scope == scope && gap.Reason.Contains(reason, StringComparison.Ordinal));

    /// <summary>The vault holds what the source holds, table by table.</summary>
    public async Task EqualsSourceAsync()
    {
        await ProtectedAsync();
        await DurableAsync();
        var reader = await BackupVault.OpenAsync(new DirectoryMedium(_folder), default);
        var comparing = new SourceComparison(reader, TimeProvider.System, Log).RunAsync(new CompareOptions { Source = _connection }, null, default);
        var report = await comparing;
        Assert.All(report.Tables, table => Assert.True(table.Equal, $"{table.Table}: {table.Note} {table.SourceRows}/{table.VaultRows} {string.Join(", ", table.Differences)}"));
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        await Source.DisposeAsync();
        Directory.Delete(_folder, recursive: true);
    }

    sealed class Typed(ILogger log) : ILogger<ArchiveLoop>
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => log.BeginScope(state);
        public bool IsEnabled(LogLevel logLevel) => log.IsEnabled(logLevel);
        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            log.Log(logLevel, eventId, state, exception, formatter);
    }
}
