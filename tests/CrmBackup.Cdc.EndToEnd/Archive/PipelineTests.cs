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

/// <summary>Capture and archive in one process, without the command line.</summary>
[Collection("postgres")]
public sealed class PipelineTests(PostgresFixture postgres, ITestOutputHelper output)
{
    [Fact]
    public async Task Bases_schema_and_events_reach_the_vault_and_the_slot_follows()
    {
        var server = postgres.Server;
        var database = await CrmSample.CreateDatabaseAsync(server, 0.01);
        var folder = Directory.CreateTempSubdirectory("crmbackup-pipeline-").FullName;
        using var stop = new CancellationTokenSource(TimeSpan.FromMinutes(2));
        await using (var connection = new NpgsqlConnection(server.ConnectionString(database) + ";Pooling=false"))
        {
            await connection.OpenAsync(stop.Token);
            var identity = new VaultIdentity(Guid.NewGuid(), VaultFormat.Current,
                ulong.Parse((string)(await server.ExecuteAsync("SELECT system_identifier::text FROM pg_control_system()"))!), database, DateTimeOffset.UnixEpoch);
            var options = new SetupOptions { Vault = identity.Id };
            await new SourceSetup(TimeProvider.System).ApplyAsync(connection, options, step => output.WriteLine(step.ToString()), stop.Token);
            await BackupVault.CreateAsync(DirectoryMedium.CreateRoot(folder), identity, stop.Token);
        }
        var vault = await BackupVault.OpenAsync(new DirectoryMedium(folder), stop.Token);
        using var writer = await VaultWriter.OpenAsync(vault, TimeProvider.System, "test", 1, stop.Token);
        await using var log = new InProcessChangeLog(8);
        using var logs = LoggerFactory.Create(builder => builder.AddProvider(new Lines(output)).SetMinimumLevel(LogLevel.Debug));
        var capture = new CaptureLoop(new CaptureOptions { Source = ConnectionText.Parse(server.ConnectionString(database)) }, log,
            TimeProvider.System, logs.CreateLogger("capture"));
        var archive = new ArchiveLoop(vault, writer, log, new ArchiveOptions(), TimeProvider.System, logs.CreateLogger<ArchiveLoop>());
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop.Token);
        var running = Task.WhenAll(capture.RunAsync(ending.Token), archive.RunAsync(ending.Token));
        try
        {
            await Eventually.TrueAsync(() => running.IsCompleted || vault.State.Bases.Count >= 8, TimeSpan.FromSeconds(60), "protection");
            if (running.IsCompleted)
                await running;
            await server.ExecuteAsync("CREATE TABLE made AS SELECT 1 AS a; UPDATE accounts SET name = 'x' WHERE id = 1; ALTER TABLE made ALTER a TYPE text", database);
            var lsn = Lsn.Parse((string)(await server.ExecuteAsync("SELECT crmbackup.barrier('x')::text", database))!);
            await Eventually.TrueAsync(() => running.IsCompleted || archive.Durable?.Lsn >= lsn, TimeSpan.FromSeconds(30), "durability");
        }
        finally
        {
            await ending.CancelAsync();
            await Task.WhenAny(running, Task.Delay(20000));
            output.WriteLine(string.Join('\n', running.Exception?.InnerExceptions.Select(one => one.ToString()) ?? []));
        }
        output.WriteLine(System.Text.Json.JsonSerializer.Serialize(vault.State, CoreJson.Default.VaultState)[..Math.Min(6000, 6000)]);
        Assert.Empty(vault.State.Gaps);
        Assert.Contains(vault.State.Relations, shape => shape.Name == "made" && shape.Version >= 2);
        Directory.Delete(folder, recursive: true);
        await server.DropDatabaseAsync(database);
    }

    sealed class Lines(ITestOutputHelper output) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;
        public bool IsEnabled(LogLevel logLevel) => true;
        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            output.WriteLine($"{logLevel} {formatter(state, exception)} {exception}");
        public void Dispose() { }
    }
}
