using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>What belongs to a database itself and does not come with a rename or a dump: locale, owner, grants, settings, comment.</summary>
/// <param name="Statements">Give another database the same traits; <c>{0}</c> stands for its quoted name.</param>
public sealed record DatabaseTraits(uint Oid, DatabaseLocale Locale, long Bytes, IReadOnlyList<string> Statements)
{
    /// <summary>Settings whose stored text is a list of quoted names: they are given back as they stand.</summary>
    static readonly string[] _lists =
    [
        "local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces", "unix_socket_directories",
    ];

    /// <exception cref="Core.UsageException">There is no such database.</exception>
    public static async Task<DatabaseTraits> ReadAsync(NpgsqlConnection server, string name, CancellationToken stop)
    {
        var icu = server.PostgreSqlVersion.Major switch
        {
            >= 17 => "datlocprovider::text, datlocale",
            >= 15 => "datlocprovider::text, daticulocale",
            _ => "'c', NULL::text",
        };
        await using var command = new NpgsqlCommand($"""
            SELECT oid, pg_encoding_to_char(encoding), datcollate::text, datctype::text, {icu}, pg_database_size(oid),
                pg_get_userbyid(datdba)::text, datconnlimit, shobj_description(oid, 'pg_database'), datacl IS NOT NULL
            FROM pg_database WHERE datname = $1
            """, server)
        { Parameters = { new() { Value = name } } };
        uint oid;
        DatabaseLocale locale;
        long bytes;
        var statements = new List<string>();
        bool granted;
        await using (var row = await command.ExecuteReaderAsync(stop))
        {
            if (!await row.ReadAsync(stop))
                throw new Core.UsageException($"there is no database {name} on this server", "Check the database's name.");
            oid = row.GetFieldValue<uint>(0);
            locale = new DatabaseLocale(row.GetString(1), row.GetString(2), row.GetString(3), row.GetString(4), row.IsDBNull(5) ? null : row.GetString(5));
            bytes = row.GetInt64(6);
            statements.Add($"ALTER DATABASE {{0}} OWNER TO {SqlText.Identifier(row.GetString(7))}");
            statements.Add($"ALTER DATABASE {{0}} CONNECTION LIMIT {row.GetInt32(8)}");
            if (!row.IsDBNull(9))
                statements.Add($"COMMENT ON DATABASE {{0}} IS {Braced(SqlText.Literal(row.GetString(9)))}");
            granted = row.GetBoolean(10);
        }
        if (granted)
            statements.AddRange(await GrantsAsync(server, oid, stop));
        statements.AddRange(await SettingsAsync(server, oid, stop));
        return new DatabaseTraits(oid, locale, bytes, statements);
    }

    public async Task<IReadOnlyList<ScriptViolation>> ApplyAsync(NpgsqlConnection server, string database, CancellationToken stop)
    {
        var violations = new List<ScriptViolation>();
        foreach (var statement in Statements)
            if (await ScriptRunner.TryAsync(server, string.Format(System.Globalization.CultureInfo.InvariantCulture, statement, SqlText.Identifier(database)), stop) is { } violation)
                violations.Add(violation);
        return violations;
    }

    static async Task<List<string>> GrantsAsync(NpgsqlConnection server, uint oid, CancellationToken stop)
    {
        var statements = new List<string> { "REVOKE ALL ON DATABASE {0} FROM PUBLIC" };
        await using var command = new NpgsqlCommand("""
            SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END, a.is_grantable
            FROM pg_database d CROSS JOIN aclexplode(d.datacl) a WHERE d.oid = $1
            """, server)
        { Parameters = { new() { Value = oid, DataTypeName = "oid" } } };
        await using var row = await command.ExecuteReaderAsync(stop);
        while (await row.ReadAsync(stop))
        {
            var grantee = await row.IsDBNullAsync(1, stop) ? "PUBLIC" : Braced(SqlText.Identifier(row.GetString(1)));
            statements.Add($"GRANT {row.GetString(0)} ON DATABASE {{0}} TO {grantee}{(row.GetBoolean(2) ? " WITH GRANT OPTION" : "")}");
        }
        return statements;
    }

    static async Task<List<string>> SettingsAsync(NpgsqlConnection server, uint oid, CancellationToken stop)
    {
        var statements = new List<string>();
        await using var command = new NpgsqlCommand("""
            SELECT CASE s.setrole WHEN 0 THEN NULL ELSE pg_get_userbyid(s.setrole)::text END, c
            FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c WHERE s.setdatabase = $1
            """, server)
        { Parameters = { new() { Value = oid, DataTypeName = "oid" } } };
        await using var row = await command.ExecuteReaderAsync(stop);
        while (await row.ReadAsync(stop))
        {
            var setting = row.GetString(1);
            var (name, value) = (setting[..setting.IndexOf('=')], setting[(setting.IndexOf('=') + 1)..]);
            var who = await row.IsDBNullAsync(0, stop) ? "ALTER DATABASE {0}" : $"ALTER ROLE {Braced(SqlText.Identifier(row.GetString(0)))} IN DATABASE {{0}}";
            var quoted = string.Join('.', name.Split('.').Select(SqlText.Identifier));
            statements.Add($"{who} SET {Braced(quoted)} TO {Braced(_lists.Contains(name) && value.Length > 0 ? value : SqlText.Literal(value))}");
        }
        return statements;
    }

    static string Braced(string text) => text.Replace("{", "{{", StringComparison.Ordinal).Replace("}", "}}", StringComparison.Ordinal);
}
