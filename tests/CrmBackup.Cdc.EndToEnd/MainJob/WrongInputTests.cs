using Npgsql;
using Xunit;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>What a user gets wrong, verb by verb, against a real server: one line that says it, one that says what to do, the exit code of its
/// kind, no stack trace, and nothing done.</summary>
[Collection("servers")]
public sealed class WrongInputTests(PostgresFixture postgres)
{
    /// <param name="Words">SOURCE, VAULT and the like stand for those of the test.</param>
    sealed record Wrong(string Words, int ExitCode, string Says, string Hint);

    static readonly string[] _ofSource = ["init", "check", "run", "run --once", "wait", "mark now", "status", "verify"];
    static readonly string[] _ofVault = ["run", "wait", "mark now", "status", "points", "points --around 0/400", "verify", "sql", "settle", "prune", "restore"];

    static readonly IEnumerable<Wrong> _wrongs =
    [
        .. _ofSource.Select(verb => new Wrong($"{verb} --source NOBODY --vault VAULT", 1, "cannot reach PostgreSQL at", "Check host and port in --source")),
        .. _ofSource.Select(verb => new Wrong($"{verb} --source NOWHERE --vault VAULT", 2, "does not exist", "Check the database's name in --source")),
        .. _ofSource.Select(verb => new Wrong($"{verb} --source OLD --vault VAULT", 3, "is PostgreSQL 13", "14 to 18 are supported")),
        .. _ofVault.Select(verb => new Wrong($"{Whole(verb)} --vault MISSING", 3, "no vault", "crmbackup init")),
        .. _ofVault.Select(verb => new Wrong($"{Whole(verb)} --vault EMPTY", 3, "no vault", "crmbackup init")),
        .. new[] { "run", "run --once", "wait", "mark now", "status", "verify" }.Select(
            verb => new Wrong($"{verb} --source SOURCE --vault OTHER", 3, "is not the one that protects", "Correct --source or --vault")),
        new("init --source SOURCE --vault OTHER", 3, "vault", "init"),
        new("restore --vault VAULT --to latest --target NOBODY", 1, "cannot reach PostgreSQL at", "Check host and port in --target"),
        new("restore --vault VAULT --to latest --target OLD", 3, "is PostgreSQL 13", "14 to 18 are supported"),
        new("restore --vault VAULT --to latest --target FILLED", 3, "is not empty", "Name a database that does not exist yet"),
        new("restore --vault VAULT --to latest --target SOURCE", 3, "source", "--in-place"),
        new("restore --vault VAULT --to 2999-01-01T00:00:00Z --target FREE", 3, "is later than what the vault holds", "Covered: lsn:"),
        new("restore --vault VAULT --to lsn:FFFF/0 --target FREE", 3, "is later than what the vault holds", "The nearest good points: --to lsn:"),
        new("restore --vault VAULT --to mark:never-set --target FREE", 3, "there is no mark 'never-set'", "Covered: lsn:"),
        new("restore --vault VAULT --to xid:99999999999 --target FREE", 3, "no transaction 99999999999", "Covered: lsn:"),
        new("restore --vault VAULT --to latest --target FREE --table public.nothing", 2, "no table matches 'public.nothing'", "The vault knows public.accounts"),
        new("restore --vault VAULT --to latest --target FREE --table public.notes --where nothing=1", 2, "public.notes has no column nothing", "Its columns are id"),
        new("init --source PLAIN --vault NEW", 3, "role plain is not a superuser", "init --dry-run"),
        new("init --source PLAIN --vault VAULT", 3, "may not ask which cluster the source is", "GRANT EXECUTE ON FUNCTION pg_control_system()"),
        new("run --source PLAIN --vault VAULT", 1, "permission denied", "init --role"),
        new("wait --source PLAIN --vault VAULT", 1, "permission denied", "init --role"),
        new("mark now --source PLAIN --vault VAULT", 1, "permission denied", "init --role"),
        new("verify --source PLAIN --vault VAULT", 1, "permission denied", "init --role"),
        new("restore --vault VAULT --to latest --target PLAINFREE", 3, "permission denied to create database", "CREATEDB"),
    ];

    static string Whole(string verb) => verb switch
    {
        "restore" => "restore --to latest --target FREE",
        "points" or "points --around 0/400" or "sql" or "settle" or "prune" or "verify" => verb,
        _ => $"{verb} --source SOURCE",
    };

    [Fact]
    public async Task Every_verb_says_what_is_wrong_and_what_to_do_and_does_nothing()
    {
        await using var crm = await Protected.InitAsync(postgres.Server, null, await CrmSample.CreateDatabaseAsync(postgres.Server, 0.01));
        await using var other = await Protected.InitAsync(postgres.Server, null, await postgres.Server.CreateDatabaseAsync("other"));
        (await Crmbackup.RunAsync("run", "--once", "--source", crm.Source, "--vault", crm.Vault)).MustBe(0);
        var folder = Directory.CreateTempSubdirectory("crmbackup-wrong-").FullName;
        using var old = new Relay(new NpgsqlConnectionStringBuilder(crm.Source).Port, ("server_version\0" + await VersionAsync(2), "server_version\013"));
        await postgres.Server.ExecuteAsync("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN");
        await crm.ExecuteAsync("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
        var words = new Dictionary<string, string>
        {
            ["SOURCE"] = crm.Source,
            ["VAULT"] = crm.Vault,
            ["OTHER"] = other.Vault,
            ["MISSING"] = Path.Combine(folder, "missing"),
            ["EMPTY"] = folder,
            ["NEW"] = Path.Combine(folder, "new"),
            ["NOBODY"] = $"Host=127.0.0.1;Port={Loopback.FreePort()};Database=x;Username=postgres",
            ["NOWHERE"] = postgres.Server.ConnectionString("nowhere"),
            ["OLD"] = new NpgsqlConnectionStringBuilder(crm.Source) { Port = old.Port, SslMode = SslMode.Disable }.ConnectionString,
            ["FILLED"] = other.Source,
            ["FREE"] = postgres.Server.ConnectionString("wrong_input_free"),
            ["PLAIN"] = new NpgsqlConnectionStringBuilder(crm.Source) { Username = "plain" }.ConnectionString,
            ["PLAINFREE"] = new NpgsqlConnectionStringBuilder(postgres.Server.ConnectionString("wrong_input_free")) { Username = "plain" }.ConnectionString,
        };
        await postgres.Server.ExecuteAsync("CREATE TABLE something (id int)", other.Database);
        var before = await TrueState.OfAsync(crm.Source);
        var files = Files(crm.Vault);
        var failures = new List<string>();
        await Parallel.ForEachAsync(_wrongs, new ParallelOptions { MaxDegreeOfParallelism = 3 }, async (wrong, _) =>
        {
            var result = await Crmbackup.RunAsync([.. wrong.Words.Split(' ').Select(word => words.GetValueOrDefault(word, word))]);
            var lines = result.Errors.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            var (said, hint) = (lines.FirstOrDefault(line => line.StartsWith("crmbackup:", StringComparison.Ordinal)),
                lines.FirstOrDefault(line => line.StartsWith("hint:", StringComparison.Ordinal)));
            if (result.ExitCode != wrong.ExitCode || said?.Contains(wrong.Says, StringComparison.OrdinalIgnoreCase) != true
                || hint?.Contains(wrong.Hint, StringComparison.Ordinal) != true || result.Errors.Contains("   at ", StringComparison.Ordinal))
                lock (failures)
                    failures.Add($"{wrong.Words}\n  ended with {result.ExitCode}, not {wrong.ExitCode}: {result.Output}{result.Errors}");
        });
        Directory.Delete(folder, recursive: true);
        Assert.True(failures.Count == 0, string.Join("\n", failures.Order(StringComparer.Ordinal)));
        Assert.Empty((await TrueState.OfAsync(crm.Source)).DifferencesFrom(before));
        Assert.Equal(files, Files(crm.Vault));
        Assert.Equal(0L, await postgres.Server.ExecuteAsync("SELECT count(*) FROM pg_database WHERE datname = 'wrong_input_free'"));
    }

    async Task<string> VersionAsync(int length) => ((string)(await postgres.Server.ExecuteAsync("SHOW server_version"))!)[..length];

    static List<string> Files(string folder) => [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
}
