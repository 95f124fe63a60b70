using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>Looks up <c>~/.pgpass</c> by the server's own name, for a connection that Npgsql makes under another (<see cref="SourceRelay"/>).</summary>
static class PasswordFile
{
    /// <summary>Null when the settings or PGPASSWORD give one already, or when the file has none.</summary>
    public static string? Find(NpgsqlConnectionStringBuilder settings)
    {
        if (settings.Password is { Length: > 0 } || Environment.GetEnvironmentVariable("PGPASSWORD") is { Length: > 0 })
            return null;
        var path = settings.Passfile ?? Environment.GetEnvironmentVariable("PGPASSFILE") ?? Default();
        if (!File.Exists(path))
            return null;
        var user = settings.Username ?? Environment.GetEnvironmentVariable("PGUSER") ?? Environment.UserName;
        return Find(File.ReadLines(path), settings.Host!, settings.Port, settings.Database ?? user, user);
    }

    //  host:port:database:user:password      * matches all; \: and \\ stand for : and \
    internal static string? Find(IEnumerable<string> lines, string host, int port, string database, string user)
    {
        foreach (var line in lines)
        {
            if (line.StartsWith('#'))
                continue;
            var fields = Split(line);
            if (fields.Count == 5 && Matches(fields[0], host) && Matches(fields[1], $"{port}")
                && Matches(fields[2], database) && Matches(fields[3], user))
                return fields[4];
        }
        return null;
    }

    static bool Matches(string pattern, string value) => pattern == "*" || pattern == value;

    static List<string> Split(string line)
    {
        var fields = new List<string>(5);
        var field = new System.Text.StringBuilder();
        for (var i = 0; i < line.Length; i++)
        {
            if (line[i] == '\\' && i + 1 < line.Length)
                field.Append(line[++i]);
            else if (line[i] == ':' && fields.Count < 4)
            {
                fields.Add(field.ToString());
                field.Clear();
            }
            else
                field.Append(line[i]);
        }
        fields.Add(field.ToString());
        return fields;
    }

    static string Default() => OperatingSystem.IsWindows()
        ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.ApplicationData), "postgresql", "pgpass.conf")
        : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".pgpass");
}
