using System.Globalization;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>What <c>--source</c> and <c>--target</c> take: an Npgsql connection string or a <c>postgres://</c> URI.</summary>
public static class ConnectionText
{
    const string Example =
        "Give \"Host=db.example;Database=crm;Username=backup\" or postgres://backup@db.example:5432/crm; keep the password in PGPASSWORD or ~/.pgpass.";

    /// <param name="text">Never printed: it may hold a password.</param>
    /// <param name="option">Named in the error.</param>
    /// <exception cref="UsageException">Not a connection string.</exception>
    public static NpgsqlConnectionStringBuilder Parse(string text, string option = "--source")
    {
        if (string.IsNullOrWhiteSpace(text))
            throw new UsageException($"{option} is empty", Example);
        try
        {
            var trimmed = text.Trim();
            var settings = IsUri(trimmed) ? ParseUri(trimmed, option) : new NpgsqlConnectionStringBuilder(trimmed);
            if (string.IsNullOrEmpty(settings.Host))
                settings.Host = DefaultHost();
            if (string.IsNullOrEmpty(settings.Username) && Environment.GetEnvironmentVariable("PGUSER") is not { Length: > 0 })
                settings.Username = Environment.UserName;
            if (string.IsNullOrEmpty(settings.Database))
                settings.Database = Environment.GetEnvironmentVariable("PGDATABASE") is { Length: > 0 } database
                    ? database
                    : throw new UsageException($"{option} names no database", Example);
            return settings;
        }
        catch (Exception failure) when (failure is ArgumentException or FormatException or KeyNotFoundException or OverflowException)
        {
            // Npgsql's message names the keyword, never its value.
            throw new UsageException($"{option} is not a connection string: {FirstLine(failure.Message)}", Example);
        }
    }

    /// <summary>Host, port, database and user; no secret.</summary>
    public static string Describe(NpgsqlConnectionStringBuilder settings) =>
        $"{settings.Username ?? Environment.GetEnvironmentVariable("PGUSER")}@{settings.Host}:{settings.Port}/{settings.Database}";

    /// <summary>A password in an option is seen by everyone who may list processes: worth a warning.</summary>
    public static bool HoldsPassword(string text) => Parse(text).Password is { Length: > 0 };

    static bool IsUri(string text) =>
        text.StartsWith("postgres://", StringComparison.OrdinalIgnoreCase)
        || text.StartsWith("postgresql://", StringComparison.OrdinalIgnoreCase);

    static string DefaultHost() =>
        Environment.GetEnvironmentVariable("PGHOST") is { Length: > 0 } host ? host
        : Directory.Exists("/var/run/postgresql") ? "/var/run/postgresql" : "localhost";

    //  postgres://user:password@host:port/database?name=value&…    every part percent-encoded, every part optional
    static NpgsqlConnectionStringBuilder ParseUri(string uri, string option)
    {
        var settings = new NpgsqlConnectionStringBuilder();
        var rest = uri[(uri.IndexOf("://", StringComparison.Ordinal) + 3)..];
        var query = rest.IndexOf('?', StringComparison.Ordinal);
        if (query >= 0)
        {
            foreach (var pair in rest[(query + 1)..].Split('&', StringSplitOptions.RemoveEmptyEntries))
                SetParameter(settings, pair, option);
            rest = rest[..query];
        }
        var slash = rest.IndexOf('/', StringComparison.Ordinal);
        if (slash >= 0 && slash + 1 < rest.Length)
            settings.Database = Decode(rest[(slash + 1)..]);
        var authority = slash >= 0 ? rest[..slash] : rest;
        var at = authority.LastIndexOf('@');
        if (at >= 0)
        {
            var user = authority[..at];
            var colon = user.IndexOf(':', StringComparison.Ordinal);
            settings.Username = Decode(colon >= 0 ? user[..colon] : user);
            if (colon >= 0)
                settings.Password = Decode(user[(colon + 1)..]);
        }
        SetHost(settings, authority[(at + 1)..], option);
        return settings;
    }

    static void SetHost(NpgsqlConnectionStringBuilder settings, string host, string option)
    {
        if (host.Contains(',', StringComparison.Ordinal))
            throw new UsageException($"{option} names several hosts", "Name the one server that holds the replication slot.");
        var port = host.LastIndexOf(':');
        if (port >= 0 && host.IndexOf(']', StringComparison.Ordinal) < port)
        {
            settings.Port = ParsePort(host[(port + 1)..], option);
            host = host[..port];
        }
        if (host.Length > 0)
            settings.Host = Decode(host.Trim('[', ']'));
    }

    static int ParsePort(string text, string option) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port is > 0 and <= 65535
            ? port : throw new UsageException($"{option}: the port is not a number from 1 to 65535", Example);

    /// <summary>libpq's parameter names, as people copy them from elsewhere; an unknown one is refused, never ignored.</summary>
    static void SetParameter(NpgsqlConnectionStringBuilder settings, string pair, string option)
    {
        var equals = pair.IndexOf('=', StringComparison.Ordinal);
        if (equals <= 0)
            throw new UsageException($"{option}: a parameter of the URI has no value", Example);
        var value = Decode(pair[(equals + 1)..]);
        var name = Decode(pair[..equals]);
        switch (name)
        {
            case "host": settings.Host = value; break;
            case "port": settings.Port = ParsePort(value, option); break;
            case "dbname": settings.Database = value; break;
            case "user": settings.Username = value; break;
            case "password": settings.Password = value; break;
            case "passfile": settings.Passfile = value; break;
            case "connect_timeout": settings.Timeout = int.Parse(value, CultureInfo.InvariantCulture); break;
            case "sslmode": settings["SSL Mode"] = value.Replace("-", "", StringComparison.Ordinal); break;
            case "sslrootcert": settings.RootCertificate = value; break;
            case "sslcert": settings.SslCertificate = value; break;
            case "sslkey": settings.SslKey = value; break;
            case "sslpassword": settings.SslPassword = value; break;
            case "channel_binding": settings["Channel Binding"] = value; break;
            case "gssencmode": settings["GSS Encryption Mode"] = value; break;
            // Ours is set on every connection, and so is UTF8.
            case "application_name" or "client_encoding" or "fallback_application_name": break;
            default:
                throw new UsageException($"{option}: the URI's parameter '{name}' is not supported", Example);
        }
    }

    static string Decode(string text) => Uri.UnescapeDataString(text);

    static string FirstLine(string text)
    {
        var end = text.AsSpan().IndexOfAny('\r', '\n');
        return end < 0 ? text : text[..end];
    }
}
