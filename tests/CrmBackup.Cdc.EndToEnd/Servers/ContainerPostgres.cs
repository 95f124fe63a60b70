using System.Text;
using DotNet.Testcontainers.Containers;
using Testcontainers.PostgreSql;

namespace CrmBackup.Cdc.EndToEnd;

sealed class ContainerPostgres : PostgresServer
{
    readonly PostgreSqlContainer _container;

    public ContainerPostgres(IReadOnlyDictionary<string, string> settings, string? major)
    {
        _container = new PostgreSqlBuilder($"postgres:{major ?? "17"}")
            .WithUsername("postgres")
            .WithEnvironment("POSTGRES_HOST_AUTH_METHOD", "trust")
            .WithEnvironment("POSTGRES_INITDB_ARGS", "--encoding=UTF8 --locale=C.UTF-8")
            .WithPortBinding(Port, 5432)
            .WithCreateParameterModifier(Containers.OnLoopback)
            // Not on the command line: there they would win over what a test sets by ALTER SYSTEM.
            .WithResourceMapping(
                Encoding.UTF8.GetBytes(string.Concat(settings.Select(setting => $"ALTER SYSTEM SET {setting.Key} = '{setting.Value.Replace("'", "''")}';\n"))),
                "/docker-entrypoint-initdb.d/settings.sql")
            .Build();
    }

    /// <summary>The host's client programs: <c>postgresql-client</c> of the image's major or newer.</summary>
    public override string BinDirectory => Path.GetDirectoryName(
        Directory.Exists("/usr/lib/postgresql")
            ? Directory.GetFiles("/usr/lib/postgresql", "pg_dump", SearchOption.AllDirectories).Order().LastOrDefault()
            : null) ?? throw new InvalidOperationException("pg_dump is not installed: apt-get install postgresql-client");

    public override async Task StartAgainAsync()
    {
        await _container.StartAsync();
        await AnswersAsync(() => _container.State == TestcontainersStates.Running);
    }

    public override Task KillAsync() => Containers.KillAsync(_container);

    public override Task FreezeAsync() => _container.PauseAsync();

    public override Task ThawAsync() => _container.UnpauseAsync();

    public override Task StopAsync() => _container.StopAsync();

    public override Task<string> LogTailAsync() => Containers.LogTailAsync(_container);

    public override ValueTask DisposeAsync() => _container.DisposeAsync();
}
