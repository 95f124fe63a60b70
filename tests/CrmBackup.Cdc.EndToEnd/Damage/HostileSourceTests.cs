using System.Collections.Concurrent;
using System.Text;
using Xunit;
using Xunit.Abstractions;

namespace CrmBackup.Cdc.EndToEnd;

/// <summary>A source whose names are chosen by an enemy, and whose password must stand nowhere.</summary>
[Collection("damage")]
public sealed class HostileSourceTests(PostgresFixture postgres, ITestOutputHelper output) : IDisposable
{
    const string Planted = "Pl4nted-Secret-9f3c";

    static readonly string[] Names =
    [
        "../../x", "'; DROP TABLE victims; --", "\"; drop", "Case", "CASE", "case", "a\u0001b\u001b[2J", "tab\tnew\nline", "=:*?", "größe €", " ", ".", "..",
        new string('n', 63), "_op", "$1", "a\\b", "%s{0}",
    ];

    readonly string _folder = Directory.CreateTempSubdirectory("crmbackup-hostile-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task Hostile_names_come_back_as_they_are_and_a_planted_password_stands_nowhere()
    {
        var database = await postgres.Server.CreateDatabaseAsync("hostile");
        await postgres.Server.ExecuteAsync("CREATE TABLE victims (id int PRIMARY KEY); INSERT INTO victims VALUES (1)", database);
        await postgres.Server.ExecuteAsync($"CREATE SCHEMA {Quoted("'; drop")}", database);
        foreach (var name in Names)
        {
            await postgres.Server.ExecuteAsync($"CREATE TABLE {Quoted(name)} (id serial PRIMARY KEY, {Quoted(name + "_c")} text)", database);
            await postgres.Server.ExecuteAsync($"INSERT INTO {Quoted(name)} ({Quoted(name + "_c")}) VALUES ({Literal(name)}), ('\\N'), (NULL)", database);
        }
        await postgres.Server.ExecuteAsync($"CREATE TABLE {Quoted("'; drop")}.{Quoted("../../x")} (id int PRIMARY KEY)", database);
        var source = postgres.Server.ConnectionString(database) + $";Password={Planted}";
        var vault = Path.Combine(_folder, "vault");
        var environment = new Dictionary<string, string> { ["CRMBACKUP__SOURCE"] = source, ["CRMBACKUP__VAULT"] = vault, ["TMPDIR"] = _folder };
        var said = new StringBuilder();
        using var watching = new CancellationTokenSource();
        var lines = new ConcurrentDictionary<string, bool>();
        var watch = Task.Run(() => WatchProcessesAsync(lines, watching.Token));

        await DoAsync(0, "init", "--identity", "full");
        await DoAsync(null, "check");
        await using var run = Crmbackup.Start(environment, "run", "-v", "--flush", "200ms");
        await Eventually.TrueAsync(async () => (await DoAsync(null, "status")).ExitCode == 0, TimeSpan.FromSeconds(180), "protection");
        foreach (var name in Names)
            await postgres.Server.ExecuteAsync($"UPDATE {Quoted(name)} SET {Quoted(name + "_c")} = {Literal(name + "!")} WHERE id = 2", database);
        await DoAsync(0, "mark", "'; drop");
        await DoAsync(0, "wait");
        await DoAsync(0, "settle", "--now");
        await DoAsync(0, "points");
        await DoAsync(0, "sql");
        var ended = await run.StopAsync();
        said.Append(ended.Output).Append(ended.Errors);
        await DoAsync(0, "verify", "--output", "json");
        var restored = $"{database}_r";
        try
        {
            environment["CRMBACKUP__SOURCE"] = postgres.Server.ConnectionString(database);
            await DoAsync(0, "restore", "--to", "mark:'; drop", "--target", postgres.Server.ConnectionString(restored), "--verify");
            var differences = (await TrueState.OfAsync(postgres.Server.ConnectionString(restored)))
                .DifferencesFrom(await TrueState.OfAsync(postgres.Server.ConnectionString(database)));
            Assert.True(differences is [], string.Join("; ", differences));
            // A server that refuses the password, and one that is not there.
            environment["CRMBACKUP__SOURCE"] = $"Host=127.0.0.1;Port=1;Username=nobody;Database=x;Timeout=2;Password={Planted}";
            await DoAsync(1, "wait", "--timeout", "1s");
            environment["CRMBACKUP__SOURCE"] = $"postgres://nobody:{Planted}@127.0.0.1:{new Uri("tcp://" + "127.0.0.1:1").Port}/nothing?Pw={Planted}";
            await DoAsync(null, "status", "-v");
            await DoAsync(null, "check", "-v");
        }
        finally
        {
            await postgres.Server.ExecuteAsync($"DROP DATABASE IF EXISTS \"{restored}\" WITH (FORCE)");
            await postgres.Server.DropDatabaseAsync(database);
        }
        await watching.CancelAsync();
        await watch;

        Assert.DoesNotContain(Planted, said.ToString());
        Assert.DoesNotContain(lines.Keys, line => line.Contains(Planted, StringComparison.Ordinal));
        Assert.NotEmpty(lines);
        foreach (var file in Directory.GetFiles(_folder, "*", SearchOption.AllDirectories))
            Assert.False(File.ReadAllBytes(file).AsSpan().IndexOf(Encoding.ASCII.GetBytes(Planted)) >= 0, file);
        // Nothing was written beside the vault either.
        Assert.All(Directory.GetFiles(vault, "*", SearchOption.AllDirectories), file => Assert.Matches("^[a-z0-9._/-]+$", Path.GetRelativePath(vault, file)));

        async Task<Crmbackup.Result> DoAsync(int? exitCode, params string[] words)
        {
            await using var running = Crmbackup.Start(environment, words);
            var result = await running.EndAsync(TimeSpan.FromMinutes(5));
            lock (said)
                said.Append(result.Output).Append(result.Errors);
            if (exitCode is { } code)
                result.MustBe(code);
            else
                output.WriteLine($"{words[0]} ended with {result.ExitCode}");
            return result;
        }
    }

    /// <summary>The command lines of every process, as any user of the machine can read them.</summary>
    static async Task WatchProcessesAsync(ConcurrentDictionary<string, bool> lines, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            foreach (var process in Directory.EnumerateDirectories("/proc").Where(path => char.IsAsciiDigit(Path.GetFileName(path)[0])))
                try
                {
                    var line = await File.ReadAllTextAsync(Path.Combine(process, "cmdline"), stop);
                    if (line.Contains("crmbackup", StringComparison.Ordinal) || line.Contains("pg_dump", StringComparison.Ordinal))
                        lines[line] = true;
                }
                catch (Exception gone) when (gone is IOException or UnauthorizedAccessException or OperationCanceledException)
                {
                    // It has ended.
                }
            await Task.Delay(200, CancellationToken.None);
        }
    }

    static string Quoted(string name) => $"\"{name.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    static string Literal(string text) => $"'{text.Replace("'", "''", StringComparison.Ordinal)}'";
}
