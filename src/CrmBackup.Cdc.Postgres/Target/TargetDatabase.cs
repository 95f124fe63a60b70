using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Encoding and locale of the source's database; the target server's defaults where null.</summary>
public sealed record DatabaseLocale(string? Encoding, string? Collate, string? CType, string? Provider = null, string? IcuLocale = null);

/// <summary>The database that a restore fills. One that the restore itself created can be dropped again.</summary>
public sealed class TargetDatabase
{
    readonly NpgsqlConnectionStringBuilder _settings;

    TargetDatabase(NpgsqlConnectionStringBuilder settings, bool created) => (_settings, Created) = (settings, created);

    public string Name => _settings.Database!;

    /// <summary>Made by this restore; otherwise it was there, empty.</summary>
    public bool Created { get; }

    /// <summary>Host, port, database and user; no secret.</summary>
    public string Description => ConnectionText.Describe(_settings);

    /// <summary>Makes the database from template0, or takes an existing one that is empty.</summary>
    /// <param name="source">The source's system identifier and database name: that one is never a target.</param>
    /// <exception cref="RefusedException">It exists and holds something, or it is the source.</exception>
    public static async Task<TargetDatabase> PrepareAsync(
        NpgsqlConnectionStringBuilder settings, DatabaseLocale locale, (ulong System, string Database) source, CancellationToken stop)
    {
        await using var server = await OpenServerAsync(settings, stop);
        var name = settings.Database!;
        var exists = await ExistsAsync(server, name, stop);
        if (exists && name == source.Database && await SourceIdentity.ClusterAsync(server, stop) == source.System)
            throw new RefusedException(
                $"the target {ConnectionText.Describe(settings)} is the source itself",
                "Restore into a new database, or replace the source with --in-place.");
        if (!exists)
        {
            await CreateAsync(server, name, locale, stop);
            return new TargetDatabase(settings, created: true);
        }
        var target = new TargetDatabase(settings, created: false);
        await using var connection = await target.OpenAsync(stop);
        if (await FirstObjectAsync(connection, stop) is { } found)
            throw new RefusedException(
                $"the target database {name} is not empty: it holds {found}",
                "Name a database that does not exist yet: it is created; or choose tables with --table.");
        return target;
    }

    /// <summary>An existing database, for tables that are restored into it.</summary>
    public static TargetDatabase Existing(NpgsqlConnectionStringBuilder settings) => new(settings, created: false);

    public static async Task<bool> ExistsAsync(NpgsqlConnectionStringBuilder settings, CancellationToken stop)
    {
        await using var server = await OpenServerAsync(settings, stop);
        return await ExistsAsync(server, settings.Database!, stop);
    }

    public Task<NpgsqlConnection> OpenAsync(CancellationToken stop) => SourceConnection.OpenAsync(_settings, stop, "--target");

    /// <summary>Drops the database with everything in it.</summary>
    public async Task DropAsync(CancellationToken stop)
    {
        Invariant.Holds(Created, "a database was to be dropped that the restore did not make");
        await DropSubscriptionsAsync(stop);
        await using var server = await OpenServerAsync(_settings, stop);
        await ScriptRunner.ExecuteAsync(server, $"DROP DATABASE IF EXISTS {SqlText.Identifier(Name)} WITH (FORCE)", stop);
    }

    /// <summary>PostgreSQL drops no database with subscriptions. Those restored were never enabled, and have no slot.</summary>
    async Task DropSubscriptionsAsync(CancellationToken stop)
    {
        await using var connection = await OpenAsync(stop);
        var statements = new List<string>();
        await using (var command = new NpgsqlCommand("""
            SELECT format('ALTER SUBSCRIPTION %1$I DISABLE; ALTER SUBSCRIPTION %1$I SET (slot_name = NONE); DROP SUBSCRIPTION %1$I', subname)
            FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            """, connection))
        await using (var reader = await command.ExecuteReaderAsync(stop))
            while (await reader.ReadAsync(stop))
                statements.Add(reader.GetString(0));
        foreach (var statement in statements)
            await ScriptRunner.ExecuteAsync(connection, statement, stop);
    }

    /// <summary>A connection to the same server that does not need the target to exist.</summary>
    public static async Task<NpgsqlConnection> OpenServerAsync(NpgsqlConnectionStringBuilder settings, CancellationToken stop)
    {
        try
        {
            return await SourceConnection.OpenAsync(new NpgsqlConnectionStringBuilder(settings.ConnectionString) { Database = "postgres" }, stop, "--target");
        }
        catch (UsageException)
        {
            // Some servers have no database postgres; every one has template1.
            return await SourceConnection.OpenAsync(new NpgsqlConnectionStringBuilder(settings.ConnectionString) { Database = "template1" }, stop, "--target");
        }
    }

    public static async Task CreateAsync(NpgsqlConnection server, string name, DatabaseLocale locale, CancellationToken stop)
    {
        var clauses = new List<string> { "TEMPLATE template0" };
        if (locale.Encoding is { } encoding)
            clauses.Add($"ENCODING {SqlText.Literal(encoding)}");
        if (locale.Provider == "i" && server.PostgreSqlVersion.Major >= 15)
            clauses.Add($"LOCALE_PROVIDER icu ICU_LOCALE {SqlText.Literal(locale.IcuLocale!)}");
        if (locale.Collate is { } collate)
            clauses.Add($"LC_COLLATE {SqlText.Literal(collate)}");
        if (locale.CType is { } ctype)
            clauses.Add($"LC_CTYPE {SqlText.Literal(ctype)}");
        try
        {
            await ScriptRunner.ExecuteAsync(server, $"CREATE DATABASE {SqlText.Identifier(name)} {string.Join(' ', clauses)}", stop);
        }
        catch (PostgresException failure)
        {
            throw failure.SqlState == PostgresErrorCodes.InsufficientPrivilege
                ? new RefusedException($"the database {name} may not be created: {failure.MessageText}", "Give a role with CREATEDB in --target, or create the database empty before.")
                : new BackupException($"the database {name} cannot be created: {failure.MessageText}", failure.Hint ?? "Check the target server.", ExitCode.Failed, failure);
        }
    }

    static async Task<bool> ExistsAsync(NpgsqlConnection server, string name, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("SELECT 1 FROM pg_database WHERE datname = $1", server) { Parameters = { new() { Value = name } } };
        return await command.ExecuteScalarAsync(stop) is not null;
    }

    static async Task<string?> FirstObjectAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("""
            SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY c.relkind <> 'r', 1 LIMIT 1
            """, connection);
        return (string?)await command.ExecuteScalarAsync(stop);
    }
}
