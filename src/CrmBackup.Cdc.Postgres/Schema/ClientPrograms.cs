using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using CrmBackup.Cdc.Core;
using Npgsql;

namespace CrmBackup.Cdc.Postgres;

/// <summary>PostgreSQL's client programs on this machine: pg_dump and its companions, of the server's major or newer.</summary>
public sealed partial class ClientPrograms
{
    readonly string _folder;

    ClientPrograms(string folder, int major) => (_folder, Major) = (folder, major);

    public int Major { get; }

    /// <summary>The nearest major not below the server's: an older pg_dump refuses the server.</summary>
    /// <exception cref="RefusedException">None is installed.</exception>
    public static async Task<ClientPrograms> FindAsync(int serverMajor, CancellationToken stop)
    {
        ClientPrograms? best = null;
        foreach (var folder in Folders())
            if (await MajorOfAsync(folder, stop) is { } major && major >= serverMajor && (best is null || major < best.Major))
                best = new ClientPrograms(folder, major);
        return best ?? throw new RefusedException($"pg_dump {serverMajor} or newer is not installed here",
            $"Install PostgreSQL's client programs: apt-get install postgresql-client-{serverMajor}.");
    }

    static IEnumerable<string> Folders()
    {
        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries);
        var versioned = ((string[])["/usr/lib/postgresql", "/usr/local/lib/postgresql"]).Where(Directory.Exists)
            .SelectMany(root => Directory.GetDirectories(root)).Select(folder => Path.Combine(folder, "bin"));
        var redHat = Directory.Exists("/usr") ? Directory.GetDirectories("/usr", "pgsql-*").Select(folder => Path.Combine(folder, "bin")) : [];
        // The versioned folders first: on Debian, the one in PATH is a wrapper that chooses for itself.
        return versioned.Concat(redHat).Concat(path).Where(folder => File.Exists(Path.Combine(folder, "pg_dump")));
    }

    static async Task<int?> MajorOfAsync(string folder, CancellationToken stop)
    {
        var result = await ExecuteAsync(Path.Combine(folder, "pg_dump"), ["--version"], new Dictionary<string, string?>(), stop);
        return result.ExitCode == 0 && Version().Match(result.Output) is { Success: true } version
            ? int.Parse(version.Groups[1].Value, CultureInfo.InvariantCulture) : null;
    }

    [GeneratedRegex(@"\(PostgreSQL\) (\d+)")]
    private static partial Regex Version();

    /// <summary>Runs one of the programs. Killed when <paramref name="stop"/> is cancelled.</summary>
    public Task<ProgramResult> RunAsync(
        string program, IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string?> environment, CancellationToken stop) =>
        ExecuteAsync(Path.Combine(_folder, program), arguments, environment, stop);

    /// <summary>How libpq finds the same server as Npgsql: by environment, so that nothing secret stands in a process list.</summary>
    public static IReadOnlyDictionary<string, string?> ConnectionOf(NpgsqlConnectionStringBuilder settings, string applicationName)
    {
        var environment = new Dictionary<string, string?>
        {
            ["PGHOST"] = settings.Host,
            ["PGPORT"] = settings.Port.ToString(CultureInfo.InvariantCulture),
            ["PGDATABASE"] = settings.Database,
            ["PGAPPNAME"] = applicationName,
            ["PGOPTIONS"] = CanonicalSettings.Options,
            ["PGCONNECT_TIMEOUT"] = "15",
            // A service file would win over all of these.
            ["PGSERVICE"] = null,
            ["PGSERVICEFILE"] = null,
            ["PGHOSTADDR"] = null,
        };
        void Set(string name, string? value)
        {
            if (value is { Length: > 0 })
                environment[name] = value;
        }
        Set("PGUSER", settings.Username);
        Set("PGPASSWORD", settings.Password);
        Set("PGPASSFILE", settings.Passfile);
        Set("PGSSLROOTCERT", settings.RootCertificate);
        Set("PGSSLCERT", settings.SslCertificate);
        Set("PGSSLKEY", settings.SslKey);
        if (settings.ContainsKey("SSL Mode"))
            environment["PGSSLMODE"] = settings.SslMode switch
            {
                SslMode.VerifyCA => "verify-ca",
                SslMode.VerifyFull => "verify-full",
                var mode => mode.ToString().ToLowerInvariant(),
            };
        return environment;
    }

    static async Task<ProgramResult> ExecuteAsync(
        string path, IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string?> environment, CancellationToken stop)
    {
        var start = new ProcessStartInfo(path, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        // Its messages are shown to people; one language, so that they can be searched for.
        start.Environment["LC_MESSAGES"] = "C";
        using var process = Process.Start(start) ?? throw new InvalidOperationException($"{path} did not start");
        process.StandardInput.Close();
        var output = process.StandardOutput.ReadToEndAsync(stop);
        var errors = process.StandardError.ReadToEndAsync(stop);
        try
        {
            await process.WaitForExitAsync(stop);
            return new ProgramResult(process.ExitCode, await output, (await errors).Trim());
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw;
        }
    }
}

public sealed record ProgramResult(int ExitCode, string Output, string Errors);
