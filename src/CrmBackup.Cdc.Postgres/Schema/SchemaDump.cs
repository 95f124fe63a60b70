using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>The dump could not be made now: somebody waited behind it, or held what it needs. Try again in a quieter moment.</summary>
public sealed class SchemaDumpException(string message, string hint) : BackupException(message, hint);

/// <param name="Before">Every transaction that the dump's snapshot missed ended after this position.</param>
/// <param name="After">Everything that the dump saw ended at or before it.</param>
/// <param name="Files">pre-data.sql, post-data.sql, schema.dump (pg_dump's custom format), database.sql (its properties), collations.json
/// (<see cref="CollationVersions"/>), catalog.json (which object is part of which), and globals.sql where it was permitted.</param>
/// <param name="LeftOut">What could not be dumped, in words.</param>
public sealed record DumpedSchema(Lsn Before, Lsn After, IReadOnlyDictionary<string, byte[]> Files, IReadOnlyList<string> LeftOut);

/// <summary>One pg_dump of the schema between two barriers. Exact when no DDL lies between them.</summary>
/// <param name="yield">Ends the dump when the CRM waits behind it.</param>
public sealed partial class SchemaDump(NpgsqlConnectionStringBuilder settings, LockYield yield, TimeProvider clock)
{
    /// <exception cref="SchemaDumpException">Not now.</exception>
    /// <exception cref="RefusedException">Not here: no pg_dump, or more tables than the lock table has room for.</exception>
    public async Task<DumpedSchema> RunAsync(CancellationToken stop)
    {
        await using var connection = await SourceConnection.OpenAsync(settings, stop);
        var programs = await ClientPrograms.FindAsync(connection.PostgreSqlVersion.Major, stop);
        await RefuseWithoutLocksAsync(connection, stop);
        var folder = Directory.CreateTempSubdirectory("crmbackup-schema-");
        try
        {
            var dump = Path.Combine(folder.FullName, "schema.dump");
            var before = await BarrierAsync(connection, stop);
            await DumpAsync(connection, programs, dump, stop);
            var after = await BarrierAsync(connection, stop);
            var publications = await PublicationsAsync(connection, stop);
            var parts = await PartsAsync(connection, stop);
            var files = await ScriptsAsync(programs, folder.FullName, dump, publications, stop);
            files.Add(CollationVersions.FileName, (await CollationVersions.ReadAsync(connection, stop)).ToBytes());
            files.Add(SchemaUnits.PartsFile, parts);
            var leftOut = new List<string>();
            if (await GlobalsAsync(programs, leftOut, stop) is { } globals)
                files.Add("globals.sql", Encoding.UTF8.GetBytes(globals));
            return new DumpedSchema(before, after, files, leftOut);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    static async Task<Lsn> BarrierAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("SELECT crmbackup.barrier('schema')::text", connection);
        return Lsn.Parse((string)(await command.ExecuteScalarAsync(stop))!);
    }

    /// <summary>pg_dump locks every table in one transaction; without room the CRM's statements fail with "out of shared memory".</summary>
    static async Task RefuseWithoutLocksAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        const string sql = """
            SELECT (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND oid >= 16384),
                current_setting('max_locks_per_transaction')::bigint
                    * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint)
                    - (SELECT count(*) FROM pg_locks WHERE NOT fastpath)
            """;
        await using var command = new NpgsqlCommand(sql, connection);
        await using var row = await command.ExecuteReaderAsync(stop);
        await row.ReadAsync(stop);
        var (tables, free) = (row.GetInt64(0), row.GetInt64(1));
        if (tables * 3 / 2 > free)
            throw new RefusedException(string.Create(CultureInfo.InvariantCulture,
                $"a dump of {tables} relations needs about {tables * 3 / 2} locks, {free} are free"),
                $"ALTER SYSTEM SET max_locks_per_transaction = {Math.Max(128, tables / 50)}; then restart PostgreSQL.");
    }

    async Task DumpAsync(NpgsqlConnection connection, ClientPrograms programs, string path, CancellationToken stop)
    {
        var name = $"{SourceConnection.ApplicationName}_dump_{Guid.NewGuid():N}"[..40];
        using var finished = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var watching = WatchAsync(connection, name, finished.Token);
        try
        {
            var result = await programs.RunAsync("pg_dump",
                ["--format=custom", "--schema-only", "--lock-wait-timeout=100", "--no-password", "--encoding=UTF8", $"--file={path}"],
                ClientPrograms.ConnectionOf(settings, name), stop);
            if (result.ExitCode != 0)
                throw new SchemaDumpException($"pg_dump failed: {OneLine(result.Errors)}", "It is tried again in a quieter moment.");
        }
        finally
        {
            await finished.CancelAsync();
            using var reader = await watching;
        }
    }

    /// <summary>Finds pg_dump's backend by its name and puts it under watch.</summary>
    async Task<LockYield.Reader?> WatchAsync(NpgsqlConnection connection, string name, CancellationToken stop)
    {
        try
        {
            while (true)
            {
                await using var command = new NpgsqlCommand("SELECT pid FROM pg_stat_activity WHERE application_name = $1", connection)
                {
                    Parameters = { new() { Value = name } },
                };
                if (await command.ExecuteScalarAsync(stop) is int pid)
                    return yield.Watch(pid, stop);
                await Task.Delay(TimeSpan.FromMilliseconds(10), clock, stop);
            }
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }

    static async Task<Dictionary<string, byte[]>> ScriptsAsync(ClientPrograms programs, string folder, string dump, IReadOnlyList<string> publications, CancellationToken stop)
    {
        // With --create the list holds the database's own entries too; without it, the scripts leave them out.
        var all = await RestoreAsync(programs, ["--create", "--list", dump], stop);
        var theirs = all.Split('\n').Where(line => !IsOurs(line, publications)).ToList();
        var list = Path.Combine(folder, "list");
        await File.WriteAllLinesAsync(list, theirs.Where(line => !OfDatabase().IsMatch(line)), stop);
        var files = new Dictionary<string, byte[]> { ["schema.dump"] = await File.ReadAllBytesAsync(dump, stop) };
        foreach (var section in (string[])["pre-data", "post-data"])
            files.Add($"{section}.sql", Encoding.UTF8.GetBytes(WithoutPsql(
                // The comments of --verbose name each entry's object by its OID.
                await RestoreAsync(programs, ["--verbose", $"--section={section}", $"--use-list={list}", "--file=-", dump], stop))));
        var database = Path.Combine(folder, "database");
        await File.WriteAllLinesAsync(database, theirs.Where(line => OfDatabase().IsMatch(line)), stop);
        files.Add("database.sql", Encoding.UTF8.GetBytes(WithoutPsql(
            await RestoreAsync(programs, ["--create", $"--use-list={database}", "--file=-", dump], stop))));
        return files;
    }

    static async Task<IReadOnlyList<string>> PublicationsAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(
            "SELECT array_agg(value) FROM crmbackup.settings WHERE key IN ('publication', 'changesPublication')", connection);
        return await command.ExecuteScalarAsync(stop) as string[] ?? [SetupOptions.DefaultPublication];
    }

    /// <summary>What is described with its table, type or publication, and the names of what pg_dump's scripts give no OID.</summary>
    static async Task<byte[]> PartsAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        const string sql = """
            SELECT jsonb_build_object(
              'parts', (SELECT coalesce(jsonb_object_agg(part, whole), '{}') FROM (
                SELECT 'pg_class'::regclass::oid || ':' || indexrelid AS part, 'pg_class'::regclass::oid || ':' || indrelid AS whole FROM pg_index WHERE indexrelid >= 16384
                UNION ALL SELECT 'pg_constraint'::regclass::oid || ':' || oid, CASE WHEN conrelid <> 0 THEN 'pg_class'::regclass::oid || ':' || conrelid
                  ELSE 'pg_type'::regclass::oid || ':' || contypid END FROM pg_constraint WHERE oid >= 16384
                UNION ALL SELECT 'pg_trigger'::regclass::oid || ':' || oid, 'pg_class'::regclass::oid || ':' || tgrelid FROM pg_trigger WHERE NOT tgisinternal
                UNION ALL SELECT 'pg_policy'::regclass::oid || ':' || oid, 'pg_class'::regclass::oid || ':' || polrelid FROM pg_policy
                UNION ALL SELECT 'pg_rewrite'::regclass::oid || ':' || oid, 'pg_class'::regclass::oid || ':' || ev_class FROM pg_rewrite WHERE oid >= 16384
                UNION ALL SELECT 'pg_attrdef'::regclass::oid || ':' || oid, 'pg_class'::regclass::oid || ':' || adrelid FROM pg_attrdef WHERE oid >= 16384
                UNION ALL SELECT 'pg_statistic_ext'::regclass::oid || ':' || oid, 'pg_class'::regclass::oid || ':' || stxrelid FROM pg_statistic_ext
                UNION ALL SELECT 'pg_publication_rel'::regclass::oid || ':' || oid, 'pg_publication'::regclass::oid || ':' || prpubid FROM pg_publication_rel
                UNION ALL SELECT 'pg_class'::regclass::oid || ':' || d.objid, 'pg_class'::regclass::oid || ':' || d.refobjid FROM pg_depend d
                  JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
                  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0 AND d.deptype = 'i') x),
              -- TABLE ATTACH, INDEX ATTACH, ROW SECURITY, SEQUENCE OWNED BY and what is said of a schema.
              'relations', (SELECT coalesce(jsonb_agg(jsonb_build_array(n.nspname, c.relname, 'pg_class'::regclass::oid || ':' || coalesce(i.indrelid, c.oid))), '[]')
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
                WHERE c.oid >= 16384 AND (c.relispartition OR c.relrowsecurity OR c.relkind = 'S')),
              'schemas', (SELECT jsonb_object_agg(nspname, 'pg_namespace'::regclass::oid || ':' || oid) FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'))::text
            """;
        await using var command = new NpgsqlCommand(sql, connection);
        return Encoding.UTF8.GetBytes((string)(await command.ExecuteScalarAsync(stop))!);
    }

    /// <summary>What init made belongs to the source, not to the data. A line of pg_restore's list:
    /// <c>number; oid oid TYPE schema name owner</c>, with - where there is no schema.</summary>
    internal static bool IsOurs(string line, IReadOnlyList<string> publications)
    {
        var entry = ListEntry().Match(line);
        if (!entry.Success)
            return false;
        var (kind, schema, rest) = (entry.Groups[1].Value, entry.Groups[2].Value, entry.Groups[3].Value);
        bool Names(string type, string name) => kind == type ? rest.StartsWith($"{name} ", StringComparison.Ordinal)
            : kind is "ACL" or "COMMENT" or "SECURITY LABEL" && rest.StartsWith($"{type} {name} ", StringComparison.Ordinal);
        return schema == "crmbackup"
            || (schema == "-" && (Names("SCHEMA", "crmbackup") || publications.Any(publication => Names("PUBLICATION", publication))
                || SetupSql.EventTriggers.Any(trigger => Names("EVENT TRIGGER", trigger.Name))))
            || (kind == "TRIGGER" && rest.Contains($" {SetupSql.RowTrigger} ", StringComparison.Ordinal))
            || (kind.StartsWith("PUBLICATION TABLE", StringComparison.Ordinal)
                && publications.Any(publication => rest.StartsWith($"{publication} ", StringComparison.Ordinal)));
    }

    [GeneratedRegex(@"^\d+; \d+ \d+ ([A-Z][A-Z ]*[A-Z]) (\S+) (.*)$")]
    private static partial Regex ListEntry();

    [GeneratedRegex(@"^\d+; \d+ \d+ (DATABASE |DATABASE PROPERTIES |(ACL|COMMENT|SECURITY LABEL) - DATABASE )")]
    private static partial Regex OfDatabase();

    static async Task<string> RestoreAsync(ClientPrograms programs, IReadOnlyList<string> arguments, CancellationToken stop)
    {
        var result = await programs.RunAsync("pg_restore", arguments, new Dictionary<string, string?>(), stop);
        return result.ExitCode == 0 ? result.Output
            : throw new SchemaDumpException($"pg_restore failed: {OneLine(result.Errors)}", "Check that pg_dump and pg_restore are of one installation.");
    }

    /// <summary>Roles, memberships and tablespaces, without passwords. Not every role may read them.</summary>
    async Task<string?> GlobalsAsync(ClientPrograms programs, List<string> leftOut, CancellationToken stop)
    {
        var result = await programs.RunAsync("pg_dumpall",
            ["--globals-only", "--no-role-passwords", "--lock-wait-timeout=100", "--no-password", $"--database={settings.Database}"],
            ClientPrograms.ConnectionOf(settings, SourceConnection.ApplicationName), stop);
        if (result.ExitCode == 0)
            return WithoutPsql(result.Output);
        leftOut.Add($"roles and tablespaces: {OneLine(result.Errors)}");
        return null;
    }

    /// <summary>Since 2025-08 scripts are wrapped in psql's \restrict; --create adds \connect. Ours are sent statement by statement.</summary>
    internal static string WithoutPsql(string script)
    {
        var lines = script.Split('\n');
        var key = lines.Select(line => Restrict().Match(line)).FirstOrDefault(match => match.Success)?.Groups[1].Value;
        return string.Join('\n', lines.Where(line =>
            key is null ? !line.StartsWith("\\connect ", StringComparison.Ordinal)
            : line != $"\\restrict {key}" && line != $"\\unrestrict {key}" && !line.StartsWith("\\connect ", StringComparison.Ordinal)));
    }

    [GeneratedRegex(@"^\\restrict (\w+)$")]
    private static partial Regex Restrict();

    /// <summary>On one line, for an error message.</summary>
    static string OneLine(string text) => string.Join(" ", text.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));
}
