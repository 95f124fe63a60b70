using CrmBackup.Cdc.Postgres;
using Npgsql;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A database of one test, with the session of a CRM and one of ours.</summary>
public sealed class SourceDatabase : IAsyncDisposable
{
    readonly PostgresServer _server;

    SourceDatabase(PostgresServer server, string name, NpgsqlConnection crm, NpgsqlConnection ours) =>
        (_server, Name, Crm, Ours) = (server, name, crm, ours);

    public string Name { get; }

    /// <summary>As an application sees the database: other settings than ours.</summary>
    public NpgsqlConnection Crm { get; }

    public NpgsqlConnection Ours { get; }

    public string ConnectionString => _server.ConnectionString(Name);

    public static async Task<SourceDatabase> CreateAsync(PostgresServer server)
    {
        var name = await server.CreateDatabaseAsync("source");
        // Gigabytes are filled in one statement.
        var crm = new NpgsqlConnection(server.ConnectionString(name) + ";Pooling=false;Command Timeout=300");
        await crm.OpenAsync();
        var database = new SourceDatabase(server, name, crm, await SourceConnection.OpenAsync(server.ConnectionString(name), default));
        await database.CrmAsync("SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'; SET bytea_output = 'escape'; SET extra_float_digits = 0");
        return database;
    }

    public Task InitAsync(SetupOptions? options = null) =>
        new SourceSetup(TimeProvider.System).ApplyAsync(Ours, options ?? new SetupOptions(), before: null, default);

    public Task<SetupPlan> PlanAsync(SetupOptions? options = null) =>
        SourceSetup.PlanAsync(Ours, options ?? new SetupOptions(), default);

    public Task CrmAsync(string sql) => ExecuteAsync(Crm, sql);

    public async Task<T> AskAsync<T>(string sql)
    {
        await using var command = new NpgsqlCommand(sql, Ours);
        return (T)(await command.ExecuteScalarAsync())!;
    }

    /// <summary>One statement of a script.</summary>
    public Task StatementAsync(string statement) => CrmAsync(SqlStatements.AsOneCommand(statement));

    /// <summary>Another session of the CRM's.</summary>
    public async Task<NpgsqlConnection> OpenAsync(string more = "")
    {
        var connection = new NpgsqlConnection($"{ConnectionString};Pooling=false;{more}");
        await connection.OpenAsync();
        return connection;
    }

    public static async Task ExecuteAsync(NpgsqlConnection connection, string sql)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await Crm.DisposeAsync();
        await Ours.DisposeAsync();
        await _server.DropDatabaseAsync(Name);
    }
}
